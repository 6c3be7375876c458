// Who goes through a list by key stays where he is when the list changes.
import type { RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";

/**
 * Keeps the focus where it is in `list` while that is drawn anew: what moves in the document loses the focus, and what goes
 * leaves it to the first that can have it.
 */
export function useKeptFocus(list: RefObject<HTMLElement | null>): void {
  const focused = document.activeElement as HTMLElement | null;
  const isOurs = focused !== null && (list.current?.contains(focused) ?? false);
  useLayoutEffect(() => {
    if (!isOurs || document.activeElement === focused) return;
    const heir = focused.isConnected ? focused : list.current?.querySelector<HTMLElement>("a, button");
    heir?.focus({ preventScroll: true });
  });
}
