export { flagsGiven, flagsOf, type LaunchOptions, launch, launched } from './launcher.ts'
export { UntilEnd } from './until-end.ts'
