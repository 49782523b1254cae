// The path of a call below the address of a server: `http://host/base` and `/v1?a=1` are `/base/v1?a=1`.

/** @returns what makes a call's path and query those of the server at `url` */
export function pathBelow(url: URL): (path: string) => string {
  const base = url.pathname.replace(/\/+$/, '')
  const ownQuery = url.search.slice(1)
  if (base === '' && ownQuery === '') return (path) => path
  return (path) => {
    const mark = path.indexOf('?')
    const pathname = mark === -1 ? path : path.slice(0, mark)
    const query = [ownQuery, mark === -1 ? '' : path.slice(mark + 1)].filter((part) => part !== '').join('&')
    // The address itself, not what is below it.
    const below = base !== '' && pathname === '/' ? url.pathname : `${base}${pathname}`
    return query === '' ? below : `${below}?${query}`
  }
}
