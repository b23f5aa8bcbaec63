//! The contents of replies that do not need the session.

use jupyter_protocol::{
    CodeMirrorMode, HelpLink, JupyterMessage, JupyterMessageContent, KernelInfoReply, LanguageInfo,
    ReplyStatus, ShutdownReply, UnknownMessage,
};
use serde_json::{Value, json};

use crate::cell::complete::{Completeness, completeness};
use crate::output::Rich;
use crate::session::{CellError, Told};

/// The newest version of the protocol that is fully supported.
const PROTOCOL: &str = "5.4";

pub(super) fn kernel_info(request: &JupyterMessage) -> JupyterMessage {
    let mut content = json!(kernel_info_reply());
    // Since 5.5 the protocol has this in place of `debugger`.
    content["supported_features"] = json!(["debugger"]);
    message("kernel_info_reply", content, request)
}

fn kernel_info_reply() -> KernelInfoReply {
    let link = |text: &str, url: &str| HelpLink {
        text: text.to_owned(),
        url: url.to_owned(),
    };
    KernelInfoReply {
        status: ReplyStatus::Ok,
        protocol_version: PROTOCOL.to_owned(),
        implementation: "forklore".to_owned(),
        implementation_version: env!("CARGO_PKG_VERSION").to_owned(),
        language_info: LanguageInfo {
            name: "rust".to_owned(),
            version: env!("CARGO_PKG_RUST_VERSION").to_owned(),
            mimetype: Some("text/rust".to_owned()),
            file_extension: Some(".rs".to_owned()),
            pygments_lexer: Some("rust".to_owned()),
            codemirror_mode: Some(CodeMirrorMode::Simple("rust".to_owned())),
            // For languages without an exporter of their own.
            nbconvert_exporter: Some("script".to_owned()),
        },
        banner: concat!(
            "forklore ",
            env!("CARGO_PKG_VERSION"),
            ", a kernel for Rust in which no cell can lose a variable"
        )
        .to_owned(),
        help_links: vec![
            link("The Rust book", "https://doc.rust-lang.org/book/"),
            link("Rust's standard library", "https://doc.rust-lang.org/std/"),
        ],
        // It only lists the variables: see `debug`.
        debugger: true,
        error: None,
    }
}

pub(super) fn is_complete(code: &str) -> Value {
    match completeness(&crate::cell::without_magics(code)) {
        Completeness::Complete => json!({"status": "complete"}),
        Completeness::Invalid => json!({"status": "invalid"}),
        Completeness::Incomplete { indent } => json!({"status": "incomplete", "indent": indent}),
    }
}

/// The reply to a cell that ran to its end.
pub(super) fn executed(
    execution_count: usize,
    user_expressions: Value,
    told: Option<&Told>,
) -> Value {
    let payload = told.map(|told| match told {
        Told::Page(told) => {
            let data = json!({"text/plain": told.plain, "text/html": told.html});
            json!({"source": "page", "data": data, "start": 0})
        }
        Told::Cell(text) => json!({"source": "set_next_input", "text": text, "replace": true}),
    });
    json!({
        "status": "ok",
        "execution_count": execution_count,
        "payload": payload.into_iter().collect::<Vec<_>>(),
        "user_expressions": user_expressions,
    })
}

/// The reply to a cell that failed.
pub(super) fn failed(execution_count: usize, error: &CellError) -> Value {
    let mut content = failed_expression(error);
    content["execution_count"] = json!(execution_count);
    content["payload"] = json!([]);
    content["user_expressions"] = json!({});
    content
}

/// The value of a user expression; empty for an expression without a value, such as `()`.
pub(super) fn value(value: Option<Rich>) -> Value {
    let (data, metadata) = value
        .map(|rich| (rich.data, rich.metadata))
        .unwrap_or_default();
    json!({"status": "ok", "data": data, "metadata": metadata})
}

/// The replacement for the value of a user expression that failed.
pub(super) fn failed_expression(error: &CellError) -> Value {
    let mut content = self::error(error);
    content["status"] = json!("error");
    content
}

/// The reply to a cell that was queued after one that failed.
pub(super) fn aborted(execution_count: usize) -> Value {
    json!({"status": "aborted", "execution_count": execution_count})
}

/// An error in Jupyter's three fields.
pub(super) fn error(error: &CellError) -> Value {
    json!({
        "ename": error.ename,
        "evalue": error.evalue,
        "traceback": error.traceback,
    })
}

/// The reply to a request of an unknown type, or whose content does not match its type.
pub(super) fn unknown(msg_type: &str) -> Value {
    json!({
        "status": "error",
        "ename": "UnknownMessage",
        "evalue": format!("this kernel cannot read this `{msg_type}`"),
        "traceback": [],
    })
}

/// The reply to a shutdown request.
pub(super) fn shutdown(restart: bool, request: &JupyterMessage) -> Box<JupyterMessage> {
    let reply = ShutdownReply {
        restart,
        ..ShutdownReply::default()
    };
    Box::new(reply.as_child_of(request))
}

/// A message whose content has no type in the protocol crate, or a type that does not serialize as
/// needed.
pub(super) fn message(msg_type: &str, content: Value, parent: &JupyterMessage) -> JupyterMessage {
    let content = JupyterMessageContent::UnknownMessage(UnknownMessage {
        msg_type: msg_type.to_owned(),
        content,
    });
    let mut message = JupyterMessage::new(content, Some(parent));
    "forklore".clone_into(&mut message.header.username);
    message
}
