import { expect, test } from 'vitest'

import { functionChoice } from '../../src/cli/function-choice.ts'

const NAMES = ['nodejs-echo', 'ruby-echo', 'abcd-eeee', 'imagemagick', 'url-ping', 'a.b']

// As faas-cli has them: of a glob only * is special and the whole name counts, a regular expression is found anywhere.
test.for([
  [{}, NAMES],
  [{ filter: '*echo' }, ['nodejs-echo', 'ruby-echo']],
  [{ filter: '*e*e*' }, ['nodejs-echo', 'abcd-eeee']],
  [{ filter: 'ruby-echo' }, ['ruby-echo']],
  [{ filter: 'echo' }, []],
  [{ filter: 'a?b' }, []],
  [{ filter: 'a.b' }, ['a.b']],
  [{ filter: 'u[r]l-ping' }, []],
  [{ filter: '*' }, NAMES],
  [{ regex: 'node' }, ['nodejs-echo']],
  [{ regex: '-ee|^url' }, ['abcd-eeee', 'url-ping']],
  [{ filter: '', regex: '' }, NAMES],
] as const)('%j chooses %j', ([options, chosen]) => {
  expect(NAMES.filter(functionChoice(options))).toEqual(chosen)
})

test('both at once, and what is no regular expression, are refused with the fix', () => {
  expect(() => functionChoice({ filter: 'a', regex: 'a' })).toThrow('--filter and --regex are both given')
  expect(() => functionChoice({ regex: '(' })).toThrow(/^--regex \(: Invalid regular expression/)
})
