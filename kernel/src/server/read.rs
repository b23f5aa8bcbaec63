//! Reads messages from the wire: signatures are checked, and missing fields are filled in.
//!
//! The protocol has optional fields that the protocol crate requires. This module fills them in, so
//! that a client which leaves one out gets its reply. If the content still cannot be read, it
//! becomes a message of an unknown type, to which the kernel replies with an error. Only messages
//! without a valid signature or header are dropped.

use std::time::Duration;

use jupyter_protocol::{Header, JupyterMessage, JupyterMessageContent, UnknownMessage};
use jupyter_zmq_client::{RawMessage, RouterRecvConnection};
use serde_json::{Value, json};
use zeromq::SocketRecv;

use super::log::log;

/// The next message that can be read; others are logged and dropped.
pub(super) async fn next_message(from: &mut RouterRecvConnection, channel: &str) -> JupyterMessage {
    loop {
        let multipart = match from.socket.recv().await {
            Ok(multipart) => multipart,
            Err(error) => {
                log(format_args!("the {channel} channel failed: {error}"));
                // A socket that fails repeatedly must not use up the processor.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let read = RawMessage::from_multipart(multipart, &from.mac)
            .map_err(|error| error.to_string())
            .and_then(|raw| message_of(raw).map_err(|error| error.to_string()));
        match read {
            Ok(message) => return message,
            Err(error) => log(format_args!(
                "a message on the {channel} channel was dropped: {error}"
            )),
        }
    }
}

fn message_of(mut raw: RawMessage) -> serde_json::Result<JupyterMessage> {
    let header = header_of(&raw.jparts[0])?;
    let mut content: Value = serde_json::from_slice(&raw.jparts[3])?;
    fill_in(&header.msg_type, &mut content);
    let read = JupyterMessageContent::from_type_and_content(&header.msg_type, content);
    let content = read.unwrap_or_else(|error| {
        log(format_args!(
            "a {} cannot be read: {error}",
            header.msg_type
        ));
        JupyterMessageContent::UnknownMessage(UnknownMessage {
            msg_type: header.msg_type.clone(),
            content: Value::Null,
        })
    });
    Ok(JupyterMessage {
        zmq_identities: raw.zmq_identities,
        header,
        // Without a parent, this is an empty object, which is not a header.
        parent_header: header_of(&raw.jparts[1]).ok(),
        metadata: serde_json::from_slice(&raw.jparts[2])?,
        content,
        buffers: raw.jparts.split_off(4),
        channel: None,
    })
}

/// A header. It needs only an id and a type.
fn header_of(json: &[u8]) -> serde_json::Result<Header> {
    let mut header: Value = serde_json::from_slice(json)?;
    let defaults = json!({
        "username": "",
        "session": "",
        "date": "1970-01-01T00:00:00Z",
        "version": "5.0",
    });
    put_defaults(&mut header, defaults);
    serde_json::from_value(header)
}

/// Sets missing or null fields to the defaults of the protocol.
fn fill_in(msg_type: &str, content: &mut Value) {
    let defaults = match msg_type {
        "execute_request" => json!({
            "silent": false,
            "store_history": true,
            "user_expressions": {},
            "allow_stdin": false,
            "stop_on_error": true,
        }),
        "history_request" => json!({
            "hist_access_type": "tail",
            "output": false,
            "raw": true,
            "session": 0,
            "start": 0,
            "stop": 0,
            "n": 0,
            "pattern": "*",
            "unique": false,
        }),
        "shutdown_request" => json!({"restart": false}),
        "comm_open" | "comm_msg" | "comm_close" => json!({"data": {}}),
        _ => return,
    };
    put_defaults(content, defaults);
}

fn put_defaults(content: &mut Value, defaults: Value) {
    let (Some(content), Value::Object(defaults)) = (content.as_object_mut(), defaults) else {
        return;
    };
    for (name, default) in defaults {
        let value = content.entry(name).or_insert(Value::Null);
        if value.is_null() {
            *value = default;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeromq::ZmqMessage;

    use super::*;

    fn read(msg_type: &str, content: &str) -> JupyterMessageContent {
        let header = json!({
            "msg_id": "1", "username": "u", "session": "s", "date": "", "msg_type": msg_type, "version": "5.3",
        });
        let parts = [
            header.to_string(),
            "{}".to_owned(),
            "{}".to_owned(),
            content.to_owned(),
        ];
        let raw = RawMessage {
            zmq_identities: Vec::new(),
            jparts: parts
                .into_iter()
                .map(|part| part.into_bytes().into())
                .collect(),
        };
        message_of(raw).unwrap().content
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let JupyterMessageContent::ExecuteRequest(request) =
            read("execute_request", r#"{"code": "1", "store_history": null}"#)
        else {
            panic!("no execute request");
        };
        assert!(request.store_history && request.stop_on_error && !request.silent);
        for kind in ["range", "tail", "search"] {
            let content = format!(r#"{{"hist_access_type": "{kind}", "stop": null}}"#);
            let read = read("history_request", &content);
            assert!(
                matches!(read, JupyterMessageContent::HistoryRequest(_)),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_header_needs_an_id_and_a_type() {
        for rest in [
            "",
            r#", "username": null, "session": null, "version": null, "date": null"#,
            r#", "username": "u", "date": "2026-11-30T09:00:00.000000Z", "more": 1"#,
        ] {
            let json = format!(r#"{{"msg_id": "1", "msg_type": "execute_request"{rest}}}"#);
            let header = header_of(json.as_bytes());
            assert_eq!(
                header.map(|header| header.msg_id).ok(),
                Some("1".to_owned()),
                "{json}"
            );
        }
        for json in ["{}", "[]", r#"{"msg_id": null, "msg_type": "a"}"#] {
            assert!(header_of(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        for content in ["{}", "[]", "null", r#"{"code": 7}"#] {
            let content = read("execute_request", content);
            assert!(matches!(content, JupyterMessageContent::UnknownMessage(_)));
            assert_eq!(content.message_type(), "execute_request");
        }
    }
    /// JSON of any shape, often with names that the protocol uses.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        let name = prop_oneof![
            Just("code".to_owned()),
            Just("cursor_pos".to_owned()),
            Just("user_expressions".to_owned()),
            Just("hist_access_type".to_owned()),
            Just("data".to_owned()),
            Just("comm_id".to_owned()),
            "[a-z_]{0,8}",
        ];
        leaf.prop_recursive(3, 24, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(name.clone(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    // 256 cases each, or the number in PROPTEST_CASES.
    proptest! {
        /// Arbitrary frames, with and without the delimiter: an error or a message.
        #[test]
        fn no_frames_break_the_reader(
            frames in prop::collection::vec(
                prop_oneof![
                    any::<Vec<u8>>(),
                    Just(b"<IDS|MSG>".to_vec()),
                    Just(b"{}".to_vec()),
                    any_json().prop_map(|json| json.to_string().into_bytes()),
                ],
                1..10,
            ),
        ) {
            let mut frames = frames.into_iter();
            let mut multipart = ZmqMessage::from(frames.next().expect("there is one"));
            for frame in frames {
                multipart.push_back(frame.into());
            }
            if let Ok(raw) = RawMessage::from_multipart(multipart, &None) {
                let _ = message_of(raw);
            }
        }

        /// A message with a valid header gets a reply, whatever its content is.
        #[test]
        fn any_content_of_any_type_is_a_message(
            msg_type in prop_oneof![
                prop::sample::select(vec![
                    "execute_request", "complete_request", "inspect_request", "history_request",
                    "is_complete_request", "comm_open", "comm_msg", "comm_close", "comm_info_request",
                    "kernel_info_request", "shutdown_request", "interrupt_request", "input_reply",
                ]).prop_map(str::to_owned),
                "[a-z_]{0,12}",
            ],
            content in any_json(),
        ) {
            let content = read(&msg_type, &content.to_string());
            prop_assert_eq!(content.message_type(), msg_type);
        }
    }
}
