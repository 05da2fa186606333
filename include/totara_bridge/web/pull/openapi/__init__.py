"""``GET /openapi.json``: what can be asked of the Pull API, for programs; made once."""

import json

from totara_bridge.staging.pull_form import Form
from totara_bridge.web.pull import form
from totara_bridge.web.pull.call import Answer, Call
from totara_bridge.web.pull.openapi.document import document
from totara_bridge.web.pull.parameters import Nothing, read

_DOCUMENT = json.dumps(document(), ensure_ascii=False, indent=1).encode()


def openapi(call: Call) -> Answer:
    """The document."""
    read(Nothing, call.query)
    form.choose(call.accept, (Form.JSON,))
    return Answer(_DOCUMENT)
