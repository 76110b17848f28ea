export { type Config, parseConfig, readConfig } from './config.ts'
export { Controller, type ControllerOptions } from './controller.ts'
export { type ControllerPlan, planController } from './limits.ts'
export { planOfConfig } from './main.ts'
