// @ts-check
// Which setting stands in which section, and what it is called there.

/** @typedef {{name: string, title: string, words?: string, settings: [string, string][]}} Section */

/** @type {Section[]} */
export const SECTIONS = [
  {
    name: "integration",
    title: "Integration",
    words: "Whether anything is moved at all. What is switched off waits; nothing is lost.",
    settings: [
      ["enabled", "Enabled"],
      ["shadow", "Shadow mode"],
    ],
  },
  {
    name: "push",
    title: "Push",
    words: "How completions are sent. A destination may have its own value beside the one for all.",
    settings: [
      ["batch_size", "Batch size"],
      ["request_bytes", "Longest request, in bytes"],
      ["requests_in_flight", "Requests in flight"],
      ["max_attempts", "Attempts"],
      ["retry_first", "First wait before a retry"],
      ["retry_longest", "Longest wait before a retry"],
      ["keep_bodies", "Keep bodies"],
      ["promise", "Promise"],
      ["promised_share", "Promised share"],
    ],
  },
  {
    name: "pull",
    title: "Pull",
    words: "Other systems fetch completions themselves, each with a token of its own.",
    settings: [
      ["pull", "Pull enabled"],
      ["pull_since", "Default for since"],
      ["pull_per_minute", "Requests per minute and token"],
    ],
  },
  {
    name: "connections",
    title: "Connections",
    words: "Addresses and credentials are in Airflow's Connections; which of them are used is in bridge.toml.",
    settings: [],
  },
  {
    name: "retention",
    title: "Retention",
    words: "What is older is deleted by purge_completions. What was delivered stays known.",
    settings: [
      ["sent_retention", "Items that were sent"],
      ["body_retention", "Kept bodies"],
      ["log_retention", "Export log"],
      ["acknowledgement_retention", "Acknowledgements"],
      ["audit_retention", "Audit log"],
      ["alert_retention", "Resolved alerts"],
    ],
  },
  {
    name: "alerts",
    title: "Alerts",
    words: "What raises an alert besides a broken promise, and who hears of it.",
    settings: [
      ["silence", "Silence of a site"],
      ["dead_per_hour", "Dead items per hour"],
      ["alert_channels", "Alert channels"],
    ],
  },
];
