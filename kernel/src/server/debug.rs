//! The requests of JupyterLab's debugger. This kernel has no breakpoints and no steps, but a list
//! of the session's variables, which the debugger's sidebar shows.
//!
//! The sidebar sends a request for every message that a running cell causes, so values are read
//! once after a cell; while one runs, the list is the one from before.

use serde_json::{Value, json};

use super::listing::Listing;

/// Seed of the names that the front end gives to cells, which have no meaning here.
const HASH_SEED: u32 = 0;

/// Whether the reply to a request needs the current variables.
pub(super) fn needs_variables(request: &Value) -> bool {
    matches!(
        request["command"].as_str(),
        Some("inspectVariables" | "richInspectVariables")
    )
}

/// The reply to a request of the Debug Adapter Protocol, with Jupyter's additions.
pub(super) fn reply(request: &Value, listing: &mut Listing) -> Value {
    let arguments = &request["arguments"];
    let command = request["command"].as_str().unwrap_or_default();
    let body = match command {
        "debugInfo" => Some(json!({
            "isStarted": listing.is_started,
            "hashMethod": "Murmur2",
            "hashSeed": HASH_SEED,
            "tmpFilePrefix": "",
            "tmpFileSuffix": ".rs",
            "breakpoints": [],
            "stoppedThreads": [],
            "richRendering": true,
            "exceptionPaths": [],
            "copyToGlobals": false,
        })),
        "initialize" | "attach" => {
            listing.is_started = true;
            Some(json!({"exceptionBreakpointFilters": []}))
        }
        "disconnect" | "terminate" => {
            listing.is_started = false;
            Some(json!({}))
        }
        "configurationDone" => Some(json!({})),
        "inspectVariables" => Some(json!({"variables": listing.rows()})),
        "variables" => {
            let reference = arguments["variablesReference"].as_u64().unwrap_or(0);
            let parts = listing.parts_of(usize::try_from(reference).unwrap_or(0));
            Some(json!({"variables": parts}))
        }
        "richInspectVariables" => arguments["variableName"]
            .as_str()
            .and_then(|name| listing.rich(name)),
        // The front end removes a breakpoint that is not in this list.
        "setBreakpoints" | "setExceptionBreakpoints" => Some(json!({"breakpoints": []})),
        "dumpCell" => Some(json!({"sourcePath": ""})),
        "threads" => Some(json!({"threads": []})),
        "stackTrace" => Some(json!({"stackFrames": []})),
        "scopes" => Some(json!({"scopes": []})),
        "modules" => Some(json!({"modules": []})),
        _ => None,
    };
    let mut reply = json!({
        "type": "response",
        "request_seq": request["seq"],
        "seq": request["seq"],
        "command": command,
        "success": body.is_some(),
    });
    match body {
        Some(body) => reply["body"] = body,
        None => {
            let known = "this kernel's debugger lists variables, and does no more";
            reply["message"] = json!(known);
            reply["body"] = json!({});
        }
    }
    reply
}
