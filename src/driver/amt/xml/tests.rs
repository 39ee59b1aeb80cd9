//! Limits, hostile documents, and that whatever is written is read the same.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Instance, XmlError> {
    parse(text.as_bytes(), Instance::read)
}

fn nested(depth: usize) -> String {
    format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth))
}

#[test]
fn limits_hold_at_their_edges() {
    assert!(read(&nested(XML_DEPTH_MAX)).is_ok());
    assert_eq!(read(&nested(XML_DEPTH_MAX + 1)), Err(XmlError::TooDeep));
    // Deep enough to take any stack with it, closed or not.
    assert_eq!(read(&nested(100_000)), Err(XmlError::TooDeep));
    assert_eq!(read(&"<a>".repeat(300_000)), Err(XmlError::TooDeep));
    // Wide is not deep.
    assert_eq!(read(&format!("<a>{}</a>", "<b/>".repeat(1000))).unwrap().fields.len(), 1000);
    assert_eq!(read(&format!("<a>{}</a>", "<b>1</b>".repeat(1000))).unwrap().fields.len(), 1000);
    let wide = format!("<a>{}</a>", "<b/>".repeat(XML_NODES_MAX as usize));
    assert_eq!(read(&wide), Err(XmlError::TooMany));
    let long = format!("<a>{}</a>", "x".repeat(XML_BYTES_MAX - 7));
    assert!(read(&long).is_ok());
    assert_eq!(read(&format!("{long} ")), Err(XmlError::TooLong));
}

#[test]
fn depth_is_not_hidden_by_quotes_comments_and_sections() {
    let hidden = |before: &str, after: &str| format!("<r>{}</r>", format!("{before}<a>{after}").repeat(XML_DEPTH_MAX));
    for (before, after) in [
        ("<!-- </a> -->", ""),
        ("<![CDATA[</a>]]>", ""),
        ("<?pi </a> ?>", ""),
        ("<!-->", "<!-- -->"),
        ("<b x='/>'></b>", ""),
        ("<b x=\"'/>\"/>", ""),
    ] {
        let error = read(&hidden(before, after)).unwrap_err();
        assert!(matches!(error, XmlError::TooDeep | XmlError::Malformed(_)), "{before}: {error:?}");
    }
    // And nothing of it counts as depth where it is none.
    let shallow = "<!-- <a> --><![CDATA[<a>]]><?pi <a> ?><b x='<' y=\"'>\"/>".replace("'<'", "'&lt;'");
    assert!(read(&format!("<r>{}</r>", shallow.repeat(100))).is_ok());
}

#[test]
fn no_document_types_and_no_entities() {
    let laughs = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><x>&b;</x>";
    assert_eq!(read(laughs), Err(XmlError::Dtd));
    assert_eq!(read("<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><x/>"), Err(XmlError::Dtd));
    assert_eq!(read("<!DOCTYPE x><x/>"), Err(XmlError::Dtd));
    assert!(matches!(read("<x><y>&b;</y></x>"), Err(XmlError::Malformed(_))));
    let five = read("<x><y>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;</y></x>").unwrap();
    assert_eq!(five.text("y"), Some("<>&\"'AB"));
}

#[test]
fn what_is_no_xml_says_so_briefly() {
    for text in
        ["", " ", "<", "<a", "<a>", "<a></b>", "<a/><b/>", "text", "<a b=c/>", "<a b='1' b='2'/>", "<p:a/>", "\u{0}"]
    {
        assert!(matches!(read(text), Err(XmlError::Malformed(_))), "{text}");
    }
    assert!(matches!(parse(b"<a>\xff</a>", |_| ()), Err(XmlError::Malformed(_))));
    let words = read(&format!("<a></{}>", "x".repeat(10_000))).unwrap_err().to_string();
    assert!(words.len() < 200, "{words}");
    // A byte order mark, and a name in another encoding than it has.
    assert!(read("\u{feff}<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>").is_ok());
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200),
                              xml in "(<a>|</a>|<b x='|'|\"|/>|>|<!--|-->|<!\\[CDATA\\[|\\]\\]>|<\\?|\\?>|&lt;|&|xmlns:p='u'|<p:c>|</p:c>|t| )*") {
        let _ = parse(&bytes, Instance::read);
        let _ = read(&xml);
    }

    #[test]
    fn what_is_escaped_is_read_the_same(text in any::<String>()) {
        let kept: String = text.chars().filter(|c| !matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}'
                                                            | '\u{fffe}' | '\u{ffff}')).collect();
        let xml = format!("<x n=\"{0}\"><y>{0}</y></x>", escape(&text));
        let read_back = parse(xml.as_bytes(), |root| {
            (root.attribute("n").unwrap_or("").to_owned(), Instance::read(root))
        }).unwrap();
        prop_assert_eq!(read_back.0, kept.clone());
        prop_assert_eq!(read_back.1.fields, vec![("y".to_owned(), Value::Text(kept))]);
    }
}
