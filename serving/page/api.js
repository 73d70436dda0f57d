// Asking the service: JSON or a Problem, with the key of this browser tab if there is one.

const KEY = "forecaster.key";

export const key = {
  get: () => sessionStorage.getItem(KEY),
  keep: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export class Problem extends Error {
  constructor(status, { type = "", title = "", detail = "" } = {}, wait = null) {
    super(title || `Status ${status}`);
    Object.assign(this, { status, type: type.split(":").at(-1), detail, wait });
  }
}

export async function get(path, query = {}, signal = undefined) {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== null && value !== undefined));
  const headers = key.get() ? { Authorization: `Bearer ${key.get()}` } : {};
  let answer;
  try {
    answer = await fetch(asked.size ? `${path}?${asked}` : path, { headers, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0);
  }
  if (answer.ok) return answer.json();
  const said = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, said, Number(answer.headers.get("Retry-After")) || null);
}
