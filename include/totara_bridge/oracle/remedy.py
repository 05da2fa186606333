"""What a person can do about an item that is failed or dead: one sentence or two for each class of error.

The classes are those of `totara_bridge.oracle.answers` and `totara_bridge.oracle.failures`, and what is too large for
any request.
"""

from collections.abc import Mapping

#: By the class of the item's last error.
REMEDIES: Mapping[str, str] = {
    "rejected": "The destination refuses the item itself, and its words say why. Mend the cause, in Totara, in the "
    "mappings, in the template or at the destination; then requeue. Cancel what is never to be sent.",
    "too_large": "The item is longer than one request may be. Raise the setting request_bytes as far as the "
    "destination allows, or shorten the template; then requeue.",
    "retry": "The destination asks to have it later, and it goes again by itself. If that goes on, ask whoever runs "
    "the destination what it waits for.",
    "missing": "The destination's answer had no result for this item, so it is sent again with the same key. If that "
    "goes on, whoever runs the destination has to mend its answers.",
    "unknown_word": "The destination's answer has a status that it did not agree on, so the item is sent again with "
    "the same key. Whoever runs the destination has to mend its answers (docs/oracle-endpoint.md).",
    "not_json": "The answer said that all was well and was no JSON, so nobody knows whether the item arrived; it is "
    "sent again with the same key. Look whether a proxy or a login page answers in the destination's place.",
    "unclear": "The answer said both that all was well and that something was not, so the item is sent again with the "
    "same key. Whoever runs the destination has to mend its answers.",
    "in_flight": "The destination is still at work on an earlier request with this item. Nothing is to be done: it is "
    "asked again by itself.",
    "unavailable": "The destination is busy or has an error of its own. The item goes again by itself. If it is dead, "
    "it failed alone while others were stored: have its request looked at where the destination runs, then requeue.",
    "token": "There was no access token to send it with. It goes again by itself: press Test on the Connection if that "
    "goes on.",
    "unreachable": "There was no connection to the destination. It goes again by itself: look at the network, the "
    "firewall and the proxy between if that goes on.",
    "timeout": "The destination gave no answer in time, and may have the item: it is sent again with the same key. If "
    "that goes on, make the batches smaller, or raise the timeout of the Connection.",
    "reset": "The connection broke before there was an answer; the item is sent again with the same key. Look at the "
    "proxies and firewalls between if that goes on.",
    "garbled": "The answer could not be unpacked, so nobody knows what it said; the item is sent again with the same "
    "key. Look at the proxies between if that goes on.",
}

_UNKNOWN = (
    "This version of the bridge does not know the class {}: open one of the items, and read what the destination said."
)


def remedy(error_class: str) -> str:
    """What to do about an item with this class of error."""
    return REMEDIES.get(error_class) or _UNKNOWN.format(error_class)
