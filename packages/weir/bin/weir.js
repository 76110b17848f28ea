#!/usr/bin/env node
/** The `weir` command. Plain JavaScript, so that an old Node can still read it and say what is wrong. */
import { launch } from './launch.js'

await launch({ name: 'weir', bin: import.meta.url, entry: 'cli/main' })
