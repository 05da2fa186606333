"""How fast the bridge is and how much memory it takes, each time next to a peer that is measured in the same run."""
