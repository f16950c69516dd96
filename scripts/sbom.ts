/** Prints the bill of materials of one node: scripts/sbom sallyport-dmz, scripts/sbom sallyport. */
import { billOfMaterials, type NodeName } from './closure/bill-of-materials.ts';

const names: readonly NodeName[] = ['sallyport-dmz', 'sallyport'];
const name = names.find((known) => known === process.argv[2]);
if (name === undefined || process.argv.length !== 3) {
  process.stderr.write(`usage: ./scripts/sbom ${names.join('|')}\n`);
  process.exitCode = 2;
} else process.stdout.write(`${JSON.stringify(billOfMaterials(name), null, 2)}\n`);
