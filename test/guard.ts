// Refuses to test on another Node than the one the project is pinned to.

export default function guard(): void {
  const major = Number(process.versions.node.split('.')[0])
  if (major < 24)
    throw new Error(
      `The tests need Node 24 and this is ${process.version}: run them with "npm test" or "npm run vitest -- <filter>".`,
    )
}
