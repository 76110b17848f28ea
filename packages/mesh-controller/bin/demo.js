#!/usr/bin/env node
/** The demo of `npm start`. Plain JavaScript, as the other commands. */
import { launch } from 'weir-mesh/launch'

await launch({ name: 'demo', bin: import.meta.url, entry: 'app/demo' })
