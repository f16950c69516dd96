/** The fixed names of the tunnel's HTTP layer. Nothing that the other side says is ever part of an address or a path. */
export const paths = {
  control: '/sallyport/control',
  data: '/sallyport/data',
  /** Asked for by an inside that refused this DMZ, to tell it the failed check. */
  refused: '/sallyport/refused',
  /** Where an internal node shows its invitation. */
  enrol: '/sallyport/enrol',
} as const;

/** Request headers of a data socket: which link it belongs to, and the token of the hello. */
export const headers = { link: 'x-sallyport-link', token: 'x-sallyport-token' } as const;
