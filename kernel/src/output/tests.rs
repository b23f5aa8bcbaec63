//! Tests of the output parser: any split of any bytes gives the same events, and no input wedges
//! it.

use data_encoding::BASE64;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The events of `pieces`, with adjacent texts joined.
fn events_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut parser = Parser::new(Stream::Stdout);
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(piece, &mut events);
    }
    parser.finish(&mut events);
    events
}

fn text(text: &str) -> Event {
    Event::Text(Stream::Stdout, text.to_owned())
}

fn piece(id: &str, more: bool, payload: &[u8]) -> Vec<u8> {
    let more = u8::from(more);
    format!("\x1b]7717;{id};{more};{}\x1b\\", BASE64.encode(payload)).into_bytes()
}

fn html(kind: RichKind, id: Option<&str>, html: &str) -> Event {
    Event::Rich(Rich {
        kind,
        id: id.map(str::to_owned),
        data: Map::from_iter([("text/html".to_owned(), json!(html))]),
        metadata: Map::new(),
    })
}

#[test]
fn text_passes_through() {
    assert_eq!(
        events_of([&b"a\nb"[..], b"c\x1b[31mred"]),
        [text("a\nbc\x1b[31mred")]
    );
}

#[test]
fn text_comes_at_once_without_a_newline() {
    let mut parser = Parser::new(Stream::Stdout);
    let mut events = Vec::new();
    parser.push(b"50 %\r", &mut events);
    assert_eq!(events, [text("50 %\r")]);
    assert!(!parser.holds_text());
}

#[test]
fn a_frame_becomes_rich_output_in_order() {
    let message = br#"{"kind":"display","id":"p1","data":{"text/html":"<b>"}}"#;
    let bytes = [&b"before"[..], &piece("7-1", false, message), b"after"].concat();
    assert_eq!(
        events_of([&bytes[..]]),
        [
            text("before"),
            html(RichKind::Display, Some("p1"), "<b>"),
            text("after")
        ]
    );
}

#[test]
fn pieces_of_two_processes_do_not_mix() {
    let one = br#"{"kind":"update","id":"a","data":{"text/html":"1"}}"#;
    let two = br#"{"kind":"result","data":{"text/html":"2"}}"#;
    let bytes = [
        piece("1", true, &one[..10]),
        piece("2", true, &two[..20]),
        piece("1", false, &one[10..]),
        piece("2", false, &two[20..]),
    ]
    .concat();
    assert_eq!(
        events_of([&bytes[..]]),
        [
            html(RichKind::Update, Some("a"), "1"),
            html(RichKind::Result, None, "2")
        ]
    );
}

#[test]
fn clear_says_whether_it_waits() {
    let bytes = piece("1", false, br#"{"kind":"clear","wait":true}"#);
    assert_eq!(events_of([&bytes[..]]), [Event::Clear { wait: true }]);
}

#[test]
fn a_prompt_keeps_its_place() {
    let bytes = piece(
        "1",
        false,
        br#"{"kind":"prompt","text":"name? ","password":true}"#,
    );
    let prompt = Event::Prompt {
        text: "name? ".to_owned(),
        is_password: true,
    };
    assert_eq!(
        events_of([&b"before"[..], &bytes]),
        [text("before"), prompt]
    );
}

#[test]
fn evcxr_blocks_are_shown_all_of_them() {
    let block = "x\nEVCXR_BEGIN_CONTENT text/html\n<i>\n\n</i>\nEVCXR_END_CONTENT\n";
    let bytes = block.repeat(2);
    let shown = html(RichKind::Display, None, "<i>\n\n</i>");
    assert_eq!(
        events_of([bytes.as_bytes()]),
        [text("x\n"), shown.clone(), text("x\n"), shown]
    );
}

#[test]
fn a_value_that_evcxr_shows_is_the_cells_result() {
    assert_eq!(value_format("{:?}"), r"\u{1b}]7717;value\u{1b}\\{:?}");
    let block =
        "EVCXR_BEGIN_CONTENT text/plain\n: u8 = \x1b]7717;value\x1b\\5\nEVCXR_END_CONTENT\n";
    let [Event::Rich(shown)] = &events_of([block.as_bytes()])[..] else {
        panic!("one thing is shown");
    };
    assert_eq!(shown.kind, RichKind::Result);
    assert_eq!(shown.data["text/plain"], ": u8 = 5");
}

#[test]
fn only_a_value_becomes_a_table_whichever_code_shows_it() {
    let of_library = br#"{"kind":"result","data":{"text/plain":"[(1, 2)]"}}"#;
    let of_evcxr =
        "EVCXR_BEGIN_CONTENT text/plain\n\x1b]7717;value\x1b\\[(1, 2)]\nEVCXR_END_CONTENT\n";
    for value in [&piece("1", false, of_library)[..], of_evcxr.as_bytes()] {
        let [Event::Rich(shown)] = &events_of([value])[..] else {
            panic!("one thing is shown");
        };
        assert_eq!(shown.data["text/plain"], "[(1, 2)]");
        assert!(shown.data.contains_key("text/html"), "{shown:?}");
    }
    let display = br#"{"kind":"display","data":{"text/plain":"[(1, 2)]"}}"#;
    let block = "EVCXR_BEGIN_CONTENT text/plain\n[(1, 2)]\nEVCXR_END_CONTENT\n";
    for other in [&piece("1", false, display)[..], block.as_bytes()] {
        let [Event::Rich(shown)] = &events_of([other])[..] else {
            panic!("one thing is shown");
        };
        assert_eq!(shown.data.len(), 1, "{shown:?}");
    }
}

#[test]
fn an_empty_block_and_one_cut_off_after_its_end() {
    let bytes = "EVCXR_BEGIN_CONTENT text/html\nEVCXR_END_CONTENT\nEVCXR_BEGIN_CONTENT text/html\nb\nEVCXR_END_CONTENT";
    assert_eq!(
        events_of([bytes.as_bytes()]),
        [
            html(RichKind::Display, None, ""),
            html(RichKind::Display, None, "b")
        ]
    );
}

#[test]
fn what_only_looks_like_rich_output_is_text() {
    for hostile in [
        "EVCXR_BEGIN_CONTENT text/html\nnever ended\n",
        "EVCXR_BEGIN_CONTENT nonsense\nEVCXR_END_CONTENT\n",
        "EVCXR_BEGIN_CONTENT ",
        "EVCXR_BEG",
        "EVCXR_EXECUTION_COMPLETE\nEVCXR_PANIC_NOTIFICATION\n",
        "EVCXR_END_CONTENT\n",
        "\x1b]7717;",
        "\x1b]7717;1;0;!!!!\x1b\\x",
        "\x1b]7717;1;2;QUJD\x1b\\x",
        "\x1b]7717;1;0;QUJD\x07",
        "\x1b]0;a title\x07",
        "\x1b",
        "E",
    ] {
        assert_eq!(events_of([hostile.as_bytes()]), [text(hostile)]);
    }
}

#[test]
fn a_frame_that_never_ends_does_not_hold_the_output() {
    let mut bytes = b"\x1b]7717;1;0;".to_vec();
    bytes.resize(2 * PIECE_MAX_BYTES, b'A');
    let mut parser = Parser::new(Stream::Stdout);
    let mut events = Vec::new();
    parser.push(&bytes, &mut events);
    assert_eq!(events, [text(str::from_utf8(&bytes).unwrap())]);
}

#[test]
fn held_text_is_shown_when_nothing_follows_and_not_twice() {
    for (first, rest) in [
        ("E", "nd"),
        ("\x1b", "[0m"),
        ("\x1b]7", "7x"),
        ("EVCXR_BEG", "IN"),
    ] {
        let mut parser = Parser::new(Stream::Stdout);
        let mut events = Vec::new();
        parser.push(first.as_bytes(), &mut events);
        assert!(events.is_empty() && parser.holds_text());
        parser.idle(&mut events);
        assert_eq!(events, [text(first)]);
        assert!(!parser.holds_text());
        parser.push(rest.as_bytes(), &mut events);
        parser.finish(&mut events);
        assert_eq!(events, [text(&format!("{first}{rest}"))]);
    }
}

#[test]
fn a_block_is_one_even_if_its_beginning_was_shown() {
    let mut parser = Parser::new(Stream::Stdout);
    let mut events = Vec::new();
    parser.push(b"EVC", &mut events);
    parser.idle(&mut events);
    parser.push(
        b"XR_BEGIN_CONTENT text/html\nb\nEVCXR_END_CONTENT\n",
        &mut events,
    );
    assert_eq!(events, [text("EVC"), html(RichKind::Display, None, "b")]);
}

#[test]
fn split_characters_are_joined_and_bad_bytes_replaced() {
    let euro = "€".as_bytes();
    assert_eq!(
        events_of([&euro[..1], &euro[1..2], &euro[2..]]),
        [text("€")]
    );
    assert_eq!(events_of([&b"a\xffb"[..]]), [text("a\u{fffd}b")]);
    assert_eq!(events_of([&b"a\xe2\x82"[..]]), [text("a\u{fffd}")]);
    assert_eq!(events_of([&b"\xe2\x82"[..], b"x"]), [text("\u{fffd}x")]);
}

#[test]
fn json_types_are_json() {
    let bytes = "EVCXR_BEGIN_CONTENT application/json\n{\"a\":1}\nEVCXR_END_CONTENT\n";
    let events = events_of([bytes.as_bytes()]);
    let Event::Rich(rich) = &events[0] else {
        panic!("{events:?}");
    };
    assert_eq!(rich.data["application/json"], json!({"a": 1}));
}

#[test]
fn a_long_block_costs_one_pass() {
    let line = [b'x'; 99];
    let mut parser = Parser::new(Stream::Stdout);
    let mut events = Vec::new();
    parser.push(b"EVCXR_BEGIN_CONTENT text/html\n", &mut events);
    for _ in 0..100_000 {
        parser.push(&line, &mut events);
        parser.push(b"\n", &mut events);
    }
    parser.push(b"EVCXR_END_CONTENT\n", &mut events);
    assert_eq!(events.len(), 1);
}

/// Bytes with frequent markers, whole and broken.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        any::<Vec<u8>>().prop_map(|mut bytes| {
            bytes.truncate(12);
            bytes
        }),
        Just(b"EVCXR_BEGIN_CONTENT text/html\n".to_vec()),
        Just(b"\nEVCXR_END_CONTENT\n".to_vec()),
        Just(b"EVCXR_".to_vec()),
        Just(INTRODUCER.to_vec()),
        Just(TERMINATOR.to_vec()),
        Just("ä€🦀".as_bytes().to_vec()),
        Just(piece("1", true, br#"{"kind":"display","#)),
        Just(piece("1", false, br#""data":{"text/plain":"x"}}"#)),
        Just(piece("2", false, br#"{"kind":"clear"}"#)),
    ];
    prop::collection::vec(fragment, 0..12).prop_map(|fragments| fragments.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(
        bytes in hostile_bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        prop_assert_eq!(events_of(pieces), events_of([&bytes[..]]));
    }

    #[test]
    fn idling_anywhere_loses_and_doubles_no_text(words in prop::collection::vec("[ E\u{1b}a-c]{0,4}", 0..20)) {
        let mut parser = Parser::new(Stream::Stdout);
        let mut events = Vec::new();
        for word in &words {
            parser.push(word.as_bytes(), &mut events);
            parser.idle(&mut events);
        }
        parser.finish(&mut events);
        let shown: String = events
            .iter()
            .map(|event| match event {
                Event::Text(_, text) => text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(shown, words.concat());
    }
}
