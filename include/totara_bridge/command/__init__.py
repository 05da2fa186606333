"""Commands for a maintainer's shell: ``python -m totara_bridge.command``, one module for each."""
