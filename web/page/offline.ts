/** The service worker: without it the page works too, with one thread and a network. */

const TRIED = "cgsam-isolated";
const PATIENCE = 60_000;

/**
 * Registers the service worker and waits until it answers for this page. A first visit is loaded once more then, because
 * only a page that came through the service worker may use threads.
 *
 * @returns false where the page is about to be loaded again.
 */
export async function prepareOffline(): Promise<boolean> {
  if (!("serviceWorker" in navigator)) return true;
  try {
    await navigator.serviceWorker.register("service-worker.js");
  } catch (error) {
    console.warn(`The page will not work without a network: ${error}`);
    return true;
  }
  await controlled();
  if (globalThis.crossOriginIsolated || sessionStorage.getItem(TRIED) !== null) return true;
  sessionStorage.setItem(TRIED, "1"); // once: a browser that refuses would load it for ever
  location.reload();
  return false;
}

function controlled(): Promise<void> {
  if (navigator.serviceWorker.controller) return Promise.resolve();
  return new Promise((resolve) => {
    navigator.serviceWorker.addEventListener("controllerchange", () => resolve(), { once: true });
    setTimeout(resolve, PATIENCE);
  });
}
