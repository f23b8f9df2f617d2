// The contract's interfaces, as the toolchains offer them to a component: each under its full name, resolved when the
// component is built. Both engines know this form of import; they know no other in common.
import * as control from "agent:integration/control@0.1.0";
import * as git from "agent:integration/git@0.1.0";
import * as http from "agent:integration/http@0.1.0";
import * as log from "agent:integration/log@0.1.0";
import * as oauth from "agent:integration/oauth@0.1.0";
import * as session from "agent:integration/session@0.1.0";
import * as state from "agent:integration/state@0.1.0";

export const INSIDE = true;
export const bindings = { control, git, http, log, oauth, session, state };
