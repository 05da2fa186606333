// What the host gives its plugins, for type checkers: nothing here is served to a browser or needed to run.
import type * as ReactModule from "react";
import type * as RouterModule from "react-router-dom";
import type * as ChakraModule from "@chakra-ui/react";

declare global {
  var React: typeof ReactModule;
  var ReactRouterDOM: typeof RouterModule;
  var ChakraUI: typeof ChakraModule;
  namespace React {
    type Context<T> = ReactModule.Context<T>;
  }
}
