// @ts-check
// What every tab knows: who looks and whether they may manage, the sites and destinations, whether all is switched on.
import { createContext, useContext } from "./html.js";

/**
 * @typedef {{person: string, manages: boolean, enabled: boolean, pull: boolean,
 *   sites: {code: string, connection: string}[], destinations: {code: string, connection: string}[]}} Frame
 */

/** @type {React.Context<Frame>} */
export const FrameContext = createContext(/** @type {any} */ (null));

/** @returns {Frame} */
export const useFrame = () => useContext(FrameContext);
