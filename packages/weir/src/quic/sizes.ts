/** Sizes that the plan counts with and other parts hold to. They stand alone, so that who plans loads none of those parts. */

/** Ranges of received numbers of one packet number space. */
export const RECEIVED_RANGES_MAX = 64
/** How many connections can be busy, twice over, before their ciphers are made again and again. */
export const MASK_CIPHERS_MAX = 32
