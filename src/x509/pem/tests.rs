//! PEM as Go and OpenSSL read it, whole and broken.

use super::*;

fn problems(text: &[u8]) -> Vec<String> {
    read(text).problems.iter().map(ToString::to_string).collect()
}

fn others(text: &[u8]) -> Vec<String> {
    read(text).items.iter().map(|item| format!("{item:?}")).collect()
}

#[test]
fn nothing_is_told_from_white_space_and_from_something_else() {
    assert_eq!(read(b"").problems, [PemProblem::Empty]);
    assert_eq!(read(b" \r\n\t\n").problems, [PemProblem::OnlyWhitespace]);
    assert_eq!(read(b"hello").problems, [PemProblem::NoBlocks]);
    assert_eq!(read(&[0; 4096]).problems, [PemProblem::NoBlocks]);
    assert_eq!(
        read(&vec![b' '; MAX_FILE_BYTES + 1]).problems,
        [PemProblem::TooLarge { bytes: MAX_FILE_BYTES + 1 }]
    );
}

#[test]
fn blocks_are_found_among_text_and_with_any_line_ends() {
    let text = b"Bag Attributes\r\n  x: y\r\n-----BEGIN A B-----\r\nAAAA\r\n-----END A B-----\r\nsubject=\r\n-----BEGIN C-----\n-----END C-----";
    assert_eq!(others(text), ["Other(\"A B\")", "Other(\"C\")"]);
    assert_eq!(problems(text), Vec::<String>::new());
}

#[test]
fn two_blocks_on_one_line_are_both_read_and_both_named() {
    let text = b"-----BEGIN A-----\nAAAA\n-----END A----------BEGIN B-----\nAAAA\n-----END B-----\n";
    assert_eq!(others(text), ["Other(\"A\")", "Other(\"B\")"]);
    assert_eq!(
        problems(text),
        [
            "block 1 (A) shares its first or last line with other text: Go programs skip it",
            "block 2 (B) shares its first or last line with other text: Go programs skip it",
        ]
    );
}

#[test]
fn words_that_look_like_a_block_in_the_middle_of_a_line_are_text() {
    let block = "-----BEGIN A-----\nAAAA\n-----END A-----\n";
    for text in ["name: -----BEGIN X-----\n", "x -----BEGIN\n", "subject=CN = -----BEGIN A-----, O = b\n\n"] {
        for (before, after) in [(text, ""), ("", text)] {
            let whole = format!("{before}{block}{after}");
            assert_eq!(problems(whole.as_bytes()), Vec::<String>::new(), "{whole}");
            assert!(others(whole.as_bytes()).contains(&"Other(\"A\")".to_owned()), "{whole}");
        }
    }
    let whole = format!("name: {block}");
    assert_eq!(read(whole.as_bytes()).problems, [PemProblem::SharesLine { block: 1, label: "A".into() }]);
}

#[test]
fn a_byte_order_mark_is_named_once() {
    let text = b"\xef\xbb\xbf-----BEGIN A-----\nAAAA\n-----END A-----\n";
    assert_eq!(others(text), ["Other(\"A\")"]);
    assert_eq!(read(text).problems, [PemProblem::ByteOrderMark]);
}

#[test]
fn an_indented_block_is_read_and_named() {
    let text = b"  -----BEGIN A-----\n  AAAA\n  -----END A-----\n";
    assert_eq!(others(text), ["Other(\"A\")"]);
    assert_eq!(read(text).problems, [PemProblem::SharesLine { block: 1, label: "A".into() }]);
}

#[test]
fn a_broken_block_does_not_hide_the_next_one() {
    let good = "-----BEGIN GOOD-----\nAAAA\n-----END GOOD-----\n";
    for (bad, problem) in [
        ("-----BEGIN\n", "block 1 has a broken BEGIN line"),
        ("-----BEGIN A\nAAAA\n-----END A-----\n", "block 1 has a broken BEGIN line"),
        ("-----BEGIN A-----\nAAAA\n", "block 1 (A) has no END line"),
        ("-----BEGIN A-----\nAAAA\n-----END A", "block 1 (A) has no END line"),
        ("-----BEGIN A-----\nAAAA\n-----END B-----\n", "block 1 begins as A and ends as B"),
        ("-----BEGIN A-----\nA*AA\n-----END A-----\n", "block 1 (A) is not base64"),
        ("-----BEGIN A-----\nAAA\n-----END A-----\n", "block 1 (A) is not base64"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "block 1 (CERTIFICATE) cannot be read",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "block 1 (PRIVATE KEY) cannot be read",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "block 1 (PUBLIC KEY) cannot be read",
        ),
    ] {
        let text = format!("{bad}{good}");
        assert_eq!(others(text.as_bytes()), ["Other(\"GOOD\")"], "{bad}");
        assert!(
            problems(text.as_bytes()).contains(&problem.to_owned()),
            "{bad}: {:?}",
            problems(text.as_bytes())
        );
    }
}

#[test]
fn encrypted_keys_are_named_and_not_opened() {
    let legacy = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let pkcs8 = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for text in [legacy.as_slice(), pkcs8] {
        assert_eq!((others(text), problems(text)), (vec!["EncryptedKey".to_owned()], vec![]));
    }
}

#[test]
fn labels_cannot_deceive_the_reader() {
    assert_eq!(
        others("-----BEGIN \u{202e}X\x1b-----\n-----END \u{202e}X\x1b-----\n".as_bytes()),
        [r#"Other("\\u{202e}X\\u{1b}")"#]
    );
}

#[test]
fn too_many_blocks_are_counted() {
    let text = "-----BEGIN A-----\n-----END A-----\n".repeat(MAX_BLOCKS + 3);
    let reading = read(text.as_bytes());
    assert_eq!(reading.items.len(), MAX_BLOCKS);
    assert_eq!(reading.problems, [PemProblem::TooManyBlocks { blocks: MAX_BLOCKS + 3 }]);
}
