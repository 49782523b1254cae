let ticks = 0

export default async (event) => {
  ticks += 1
  return `tick ${ticks}, planned for ${event.headers['x-cron-scheduled-at']}`
}
