/** Placeholder of the type; the room `paths` fills it. */
declare const brand: unique symbol;
export type VirtualPath = string & { readonly [brand]: 'VirtualPath' };
