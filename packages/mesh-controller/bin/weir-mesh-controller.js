#!/usr/bin/env node
/** The `weir-mesh-controller` command. Plain JavaScript: an old Node can read it and say what is wrong. */
import { launch } from 'weir-mesh/launch'

await launch({ name: 'weir-mesh-controller', bin: import.meta.url, entry: 'app/main' })
