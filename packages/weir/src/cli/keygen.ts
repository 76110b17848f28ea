/** `weir keygen`: makes a key file and prints the id of the node, which others need for `--peer`. */
import { Command } from 'commander'
import { idHex, KeyPair } from '../core/index.ts'
import { writeKeyFile } from '../node/index.ts'

export function keygenCommand(): Command {
  return new Command('keygen')
    .description('Make a key file, mode 0600, and print the id of the node.')
    .argument('<file>', 'the new file; one that exists is never overwritten')
    .action((file: string) => {
      const key = KeyPair.generate()
      writeKeyFile(file, key)
      console.log(idHex(key.id))
    })
}
