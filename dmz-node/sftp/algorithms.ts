/**
 * What our side of SSH offers. The client's order decides which of them is used, so what must not be used is not offered:
 * no SHA-1, no group exchange (the package does not implement it for servers), no groups above 4096 bits (a stranger could
 * burn processor time with them), no compression (a bomb before login), no ChaCha20 unless asked for (OpenSSH would prefer
 * it to AES-GCM, which is faster here). What auditors warn of is offered only on request.
 */

export interface AlgorithmOptions {
  /** Offer also what auditors warn of, but what is not broken: for clients that know nothing newer. */
  readonly compatible: boolean;
  /** Offer chacha20-poly1305@openssh.com as well, for clients on machines without AES instructions. */
  readonly chacha20: boolean;
}

interface DirectionOffer {
  readonly cipher: readonly string[];
  readonly mac: readonly string[];
  readonly compress: readonly string[];
  readonly lang: readonly string[];
}

/** The form that the package's key exchange takes. */
export interface AlgorithmOffer {
  readonly kex: readonly string[];
  readonly serverHostKey: readonly string[];
  readonly cs: DirectionOffer;
  readonly sc: DirectionOffer;
}

const keyExchanges = [
  // What is recorded today cannot be opened with tomorrow's quantum computer. By `patches/`.
  'mlkem768x25519-sha256',
  'curve25519-sha256',
  'curve25519-sha256@libssh.org',
  'diffie-hellman-group16-sha512',
];
const olderKeyExchanges = ['ecdh-sha2-nistp256', 'ecdh-sha2-nistp384', 'diffie-hellman-group14-sha256'];
/** The server's half of strict key exchange (the answer to Terrapin); the package acts on it when both sides send theirs. */
const strictMarker = 'kex-strict-s-v00@openssh.com';
const ciphers = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr', 'aes256-ctr'];
const macs = ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'];
/** Over the plaintext (libssh2 before 1.11 knows no others). */
const olderMacs = ['hmac-sha2-256', 'hmac-sha2-512'];
const olderHostKey = /^ecdsa-/;

/** @param hostKeyAlgorithms What the host keys at hand can sign with, preferred first. */
export function algorithmOffer(hostKeyAlgorithms: readonly string[], options: AlgorithmOptions): AlgorithmOffer {
  const { compatible } = options;
  const direction: DirectionOffer = {
    cipher: options.chacha20 ? [...ciphers, 'chacha20-poly1305@openssh.com'] : ciphers,
    mac: compatible ? [...macs, ...olderMacs] : macs,
    compress: ['none'],
    lang: [],
  };
  const modern = hostKeyAlgorithms.filter((name) => !olderHostKey.test(name));
  return {
    kex: [...keyExchanges, ...(compatible ? olderKeyExchanges : []), strictMarker],
    serverHostKey: compatible || modern.length === 0 ? hostKeyAlgorithms : modern,
    cs: direction,
    sc: direction,
  };
}
