// Named OAuth 2 credentials. Their values stay in the host.
import { call, host, text } from "./host.js";

export function refresh(credential) {
  call(() => host.oauth.refresh(text(credential, "the name of a credential")));
}
