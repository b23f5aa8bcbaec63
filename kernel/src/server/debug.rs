//! What JupyterLab's debugger asks for. There are no breakpoints and no steps here, but the list of
//! the session's variables, which its sidebar shows.
//!
//! The sidebar asks with every message that a cell's run causes, so values are looked at once after
//! a cell; while one runs, the list is that of before.

use serde_json::{Value, json};

use super::listing::Listing;

/// Seed of the names that the front end gives to cells, which here mean nothing.
const HASH_SEED: u32 = 0;

/// Whether the reply to a request needs the variables as they are now.
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
        // A breakpoint that is not among these is taken away again.
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
