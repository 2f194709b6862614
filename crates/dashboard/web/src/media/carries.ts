/** Whether this server carries audio and video: it says so in the page. */
export function carriesMedia(): boolean {
  return document.querySelector<HTMLMetaElement>('meta[name="witan-media"]')?.content !== "none";
}
