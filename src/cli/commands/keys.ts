/** `tenantkit keys`: the keys that seal the tenants' secrets. */
import { generateKey } from '../../crypto/key-ring.ts'
import type { Register } from './command.ts'

const VARIABLE = 'TENANTKIT_ENCRYPTION_KEYS'

export const keys: Register = (program, choose) =>
  program.command('keys', 'Encryption keys', group =>
    group
      .command(
        'generate',
        `Make a new key for ${VARIABLE}; it needs no configuration and is stored nowhere`,
        command =>
          command
            .option('id', { type: 'string', requiresArg: true, describe: 'The id of the key; made from the time by default' })
            .example('$0 keys generate >> key.txt', 'put it first: the first key encrypts, the others still decrypt'),
        ({ id }) =>
          choose(session => {
            const entry = id === undefined ? generateKey() : generateKey(id)
            const keyId = entry.slice(0, entry.indexOf(':'))
            session.output.result({ id: keyId, key: entry, variable: VARIABLE }, () => [entry])
            if (!session.output.json) session.output.say(`Put it first in ${VARIABLE} and keep the keys that are there.`)
            return Promise.resolve()
          }),
      )
      .demandCommand(1, 'Name a command of `tenantkit keys`.'),
  )
