/** docs/configuration.md: every key of the configuration files, from the schemas that check them. */
import { z } from 'zod';
import { dmzConfigSchema } from '../../dmz-node/config.ts';
import { internalConfigSchema, partContents } from '../../internal-node/config-schema.ts';
import { code, generatedFrom, table } from './markdown.ts';

/** What of JSON Schema is told. */
interface Node {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly allOf?: readonly Node[];
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Node>>;
}

type Row = readonly string[];

const words: Readonly<Record<string, string>> = { integer: 'number', string: 'text' };

const schemaOf = (schema: z.ZodType): Node => z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Node;

class Keys {
  readonly #root: Node;
  readonly rows: Row[] = [];

  constructor(root: Node) {
    this.#root = root;
    this.#below(root, '');
  }

  #resolved(node: Node): Node {
    const name = node.$ref?.replace('#/$defs/', '');
    return name === undefined ? node : (this.#root.$defs?.[name] ?? node);
  }

  #below(given: Node, path: string): void {
    const node = this.#resolved(given);
    for (const part of [...(node.allOf ?? []), ...this.#branches(node)]) this.#below(part, path);
    for (const [key, value] of Object.entries(node.properties ?? {})) {
      this.#add(value, path === '' ? key : `${path}.${key}`, node.required?.includes(key) ?? false);
    }
    if (typeof node.additionalProperties === 'object') this.#below(node.additionalProperties, `${path}.NAME`);
    if (node.items !== undefined) this.#below(node.items, `${path}[]`);
  }

  /** What may stand in its place, as far as it has keys of its own. */
  #branches(node: Node): readonly Node[] {
    return [...(node.anyOf ?? []), ...(node.oneOf ?? [])].filter((branch) => {
      const { properties, items, additionalProperties } = this.#resolved(branch);
      return properties ?? items ?? typeof additionalProperties === 'object';
    });
  }

  #add(given: Node, path: string, required: boolean): void {
    const node = { ...this.#resolved(given), ...given };
    const isSection = node.properties !== undefined && node.description === undefined;
    if (!isSection && !this.rows.some(([known]) => known === code(path))) {
      this.rows.push([code(path), this.#values(node), this.#fallback(node, required), node.description ?? '']);
    }
    this.#below(node, path);
  }

  #values(given: Node): string {
    const node = this.#resolved(given);
    const options = [...(node.anyOf ?? []), ...(node.oneOf ?? [])];
    if (options.length > 0) return [...new Set(options.map((option) => this.#values(option)))].join(' or ');
    if (node.const !== undefined) return code(String(node.const));
    if (node.enum) return node.enum.map((value) => code(String(value))).join(', ');
    if (node.type === 'array') return `list of ${this.#values(node.items ?? {})}`;
    if (node.type === 'object') return node.properties ? 'section' : 'section by name';
    if (node.type === 'boolean') return 'true, false';
    return [node.type ?? 'text']
      .flat()
      .map((type) => words[type] ?? type)
      .join(' or ');
  }

  /** Where the description tells the default, the value may be one of this host. */
  #fallback({ default: value, type, description = '' }: Node, required: boolean): string {
    if (value === '' || description.includes('efault: ')) return '';
    if (value === undefined) return required && type !== 'object' ? 'must be given' : '';
    if (typeof value === 'object' && value !== null && Object.keys(value).length === 0) return '';
    return code(typeof value === 'string' ? value : JSON.stringify(value));
  }
}

const section = (title: string, about: string, schema: z.ZodType): string =>
  `## ${title}

${about}

${table(['Key', 'Value', 'When left out', 'Meaning'], new Keys(schemaOf(schema)).rows)}`;

export function configurationPage(): string {
  return `${generatedFrom('dmz-node/config.ts, internal-node/config-schema.ts and what they use')}

# Configuration

Three kinds of files, all YAML. A key that is not listed here is an error that names the file, the line, and the key that may be meant;
\`sallyport config check\` and \`sallyport-dmz config check\` show all errors at once. \`NAME\` stands for a name of your choice, \`[]\` for each
entry of a list. Durations are written \`250ms\`, \`30s\`, \`15m\`, \`24h\`, \`30d\`, sizes \`64KiB\`, \`8MiB\`, \`2GiB\`. Paths are relative to the file.

${section('The DMZ node: dmz.yaml', 'Read at its start.', dmzConfigSchema)}

${section('The internal node: sallyport.yaml', 'Read at its start, and again by `SIGHUP` and `sallyport apply` where it can change while the node runs.', internalConfigSchema)}

${section('Partners and rules: conf.d/*.yaml', 'The files that `include` names; read again by `SIGHUP` and `sallyport apply`. More in [accounts](accounts.md), [permissions](permissions.md), [rules](rules.md) and [uploads](uploads.md).', partContents)}
`;
}
