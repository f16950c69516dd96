/** The configuration files that `sallyport init` writes: short, commented, and valid as they are. */
import { Document, Scalar } from 'yaml';

/** A text as YAML writes it on one line. */
const quoted = (text: string): string => {
  const scalar = new Scalar(text);
  const plain = new Document(scalar).toString({ lineWidth: 0 }).trim();
  return plain.includes('\n') ? JSON.stringify(text) : plain;
};

interface MainFile {
  readonly name: string;
  /** Relative to the file, or absolute. */
  readonly delivered: string;
  readonly outgoing: string;
}

export const mainFile = ({
  name,
  delivered,
  outgoing,
}: MainFile): string => `# Sallyport, internal node. Check it with: sallyport config check
version: 1
name: ${quoted(name)}
# Records, keys and staging; mode 0700.
state: state

# Where rules deliver to. Each partner gets a folder of its own below.
destinations:
  inside:
    folder: ${quoted(delivered)}
    # When the name is taken: number, replace, fail or skip.
    onExisting: number

# Files that staff put below this folder, in one named after the partner, are offered to him.
outgoing:
  folder: ${quoted(outgoing)}
  # What becomes of the file once it is offered: archive or delete.
  after: archive

# Files with partners and rules.
include:
  - conf.d/**/*.yaml
`;

export const partnersFile = `# Partners. \`sallyport partner add NAME --key FILE\` writes them here and keeps your comments.
partners: {}
`;

export const rulesFile = `# Rules are tried in this order; the first that matches decides. A file that no rule matches waits and raises an alarm.
#
#   - name: invoices of acme
#     partner: acme
#     path: "*.pdf"            # a glob over the path below Inbox, or m/inv_[0-9]+/i
#     size: {max: 50MiB}
#     outbox: globex           # what becomes of it: docs/rules.md has all actions
rules:
  - name: everything else
    deliver: inside
`;
