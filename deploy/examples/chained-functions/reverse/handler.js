'use strict'

module.exports = async (event, context) => {
  const word = [...event.body].reverse().join('')
  console.log(word)
  return context.succeed(word)
}
