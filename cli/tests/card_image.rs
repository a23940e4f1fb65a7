//! Cards' pictures: honest ones are drawn, hostile ones are refused by name, all of it in bounded time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fwpctl::card_image::{Error, MAX_ELEMENTS, Sanitized, render, sanitize};
use proptest::prelude::*;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// A picture of 320 by 200 around `content`.
fn svg(content: &str) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' viewBox='0 0 320 200'>{content}</svg>"
    )
}

fn draw(svg: &str) -> Result<(Sanitized, Vec<u8>), Error> {
    let image = sanitize(svg.as_bytes())?;
    let png = render(&image, 320)?;
    Ok((image, png))
}

fn refusal(svg: &str) -> Error {
    let started = Instant::now();
    let error = draw(svg).map(|_| ()).unwrap_err();
    // Generous: a debug build on a busy machine.
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
    error
}

/// The colour of a point, as red, green, blue, alpha.
fn pixel(png: &[u8], x: u32, y: u32) -> [u8; 4] {
    let pixmap = resvg::tiny_skia::Pixmap::decode_png(png).unwrap();
    let c = pixmap.pixel(x, y).unwrap().demultiply();
    [c.red(), c.green(), c.blue(), c.alpha()]
}

#[test]
fn a_card_is_drawn_in_its_colours() {
    let (image, png) = draw(&svg(
        "<title>Card</title><defs><linearGradient id='g'><stop stop-color='#f00'/></linearGradient></defs>
         <style>.b{fill:#00f}</style>
         <rect width='320' height='200' fill='url(#g)'/><rect class='b' x='100' width='100' height='200'/>",
    ))
    .unwrap();
    assert_eq!(image.left_out(), 0);
    assert_eq!(pixel(&png, 10, 10), [255, 0, 0, 255]);
    assert_eq!(pixel(&png, 150, 10), [0, 0, 255, 255]);
}

#[test]
fn the_picture_is_as_wide_as_asked_and_never_huge() {
    let image = sanitize(svg("<rect width='320' height='200'/>").as_bytes()).unwrap();
    for (asked, wide, high) in [(640, 640, 400), (u32::MAX, 2048, 1280), (0, 1, 1)] {
        let pixmap = resvg::tiny_skia::Pixmap::decode_png(&render(&image, asked).unwrap()).unwrap();
        assert_eq!((pixmap.width(), pixmap.height()), (wide, high));
    }
}

#[test]
fn text_pictures_and_filters_are_left_out_and_counted() {
    let (image, png) = draw(&svg(
        "<rect width='320' height='200' fill='#0f0' filter='url(#f)' style='filter: url(#f); stroke: none'/>
         <filter id='f'><feGaussianBlur stdDeviation='3'/></filter><text>My Bank</text>
         <image href='data:image/png;base64,AAAA'/>",
    ))
    .unwrap();
    assert_eq!(image.left_out(), 3);
    assert_eq!(pixel(&png, 160, 100), [0, 255, 0, 255]);
}

#[test]
fn a_drawing_programs_own_notes_are_no_loss() {
    let (image, _) = draw(
        "<svg xmlns='http://www.w3.org/2000/svg' xmlns:i='http://www.inkscape.org/n' width='85mm' height='54mm' i:v='1'>
         <metadata><x xmlns='http://purl.org/'/></metadata><i:view a='b'/><circle r='9'/></svg>",
    )
    .unwrap();
    assert_eq!(image.left_out(), 0);
    assert!(!image.as_str().contains("inkscape"));
}

#[test]
fn entities_are_refused() {
    let laughs = "<!DOCTYPE svg [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]><svg xmlns='http://www.w3.org/2000/svg'>&b;</svg>";
    assert_eq!(refusal(laughs), Error::DocumentType);
    let file = "<!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg xmlns='http://www.w3.org/2000/svg'>&x;</svg>";
    assert_eq!(refusal(file), Error::DocumentType);
}

#[test]
fn scripts_and_embedded_documents_are_refused() {
    for (content, element) in [
        ("<script>alert(1)</script>", "script"),
        ("<g><SCRIPT/></g>", "script"),
        ("<h:script xmlns:h='http://www.w3.org/1999/xhtml'/>", "script"),
        ("<foreignObject/>", "foreignObject"),
        ("<iframe xmlns='http://www.w3.org/1999/xhtml'/>", "iframe"),
    ] {
        assert_eq!(refusal(&svg(content)), Error::ActiveContent { element });
    }
    assert_eq!(refusal(&svg("<rect onload='x()'/>")), Error::EventHandler);
    assert_eq!(refusal(&svg("<rect ONclick='x()'/>")), Error::EventHandler);
}

#[test]
fn references_to_the_outside_are_refused() {
    for content in [
        "<image href='https://evil.example/track.png'/>",
        "<image xlink:href='file:///etc/passwd'/>",
        "<use href='other.svg#a'/>",
        "<use xlink:href='data:image/svg+xml,x#a'/>",
        "<a href='javascript:alert(1)'><rect/></a>",
        "<rect fill='url(https://evil.example/#g)'/>",
        "<rect style='fill: URL( \"//evil.example/x\" )'/>",
        "<rect style='fill: u\\72l(//evil.example/x)'/>",
        "<style>@import 'https://evil.example/x.css';</style>",
        "<style>rect { fill: url(http://evil.example/) }</style>",
    ] {
        assert!(matches!(refusal(&svg(content)), Error::ExternalReference { .. }), "{content}");
    }
}

#[test]
fn a_reference_bomb_is_refused() {
    let mut content = String::from("<defs><rect id='u0' width='1' height='1'/>");
    for i in 1..30 {
        write!(content, "<g id='u{i}'>{}</g>", format!("<use href='#u{}'/>", i - 1).repeat(10)).unwrap();
    }
    content.push_str("</defs><use href='#u29'/>");
    let error = refusal(&svg(&content));
    assert!(matches!(error, Error::TooComplex { what: "elements", .. } | Error::TooDeep), "{error}");
}

#[test]
fn a_mask_bomb_is_refused() {
    let mut content = String::from("<defs><mask id='m0'><rect width='320' height='200'/></mask>");
    for i in 1..30 {
        let rects = format!("<rect width='320' height='200' mask='url(#m{})'/>", i - 1).repeat(10);
        write!(content, "<mask id='m{i}' maskContentUnits='objectBoundingBox'>{rects}</mask>").unwrap();
    }
    content.push_str("</defs><rect width='9' height='9' mask='url(#m29)'/>");
    let error = refusal(&svg(&content));
    assert!(matches!(error, Error::TooComplex { what: "elements", .. } | Error::TooDeep), "{error}");
}

#[test]
fn a_mask_for_everything_by_a_style_rule_is_refused() {
    let rects = "<rect width='320' height='200'/>".repeat(500);
    let content = format!("<style>rect {{ mask: url(#m) }}</style><mask id='m'>{rects}</mask>{rects}");
    assert!(matches!(refusal(&svg(&content)), Error::TooComplex { .. }));
}

#[test]
fn a_reference_to_itself_is_refused() {
    assert_eq!(refusal(&svg("<g id='a'><use href='#a'/></g>")), Error::TooDeep);
    assert_eq!(
        refusal(&svg("<mask id='m'><rect mask='url(#m)'/></mask><rect mask='url(#m)'/>")),
        Error::TooDeep
    );
}

#[test]
fn deep_nesting_is_refused_without_a_stack_overflow() {
    for depth in [100, 1_000, 15_000] {
        let nested = svg(&format!("{}{}", "<g>".repeat(depth), "</g>".repeat(depth)));
        assert_eq!(refusal(&nested), Error::TooDeep, "{depth}");
    }
    // More nodes than the parser is allowed to make.
    let nested = svg(&format!("{}{}", "<g>".repeat(36_000), "</g>".repeat(36_000)));
    assert!(matches!(refusal(&nested), Error::TooComplex { .. } | Error::TooLarge { .. }));
}

#[test]
fn too_much_of_anything_is_refused() {
    assert!(matches!(refusal(&svg(&" ".repeat(300_000))), Error::TooLarge { .. }));
    let elements = "<rect width='9' height='9'/>".repeat(MAX_ELEMENTS + 1);
    assert!(matches!(refusal(&svg(&elements)), Error::TooComplex { what: "elements", .. }));
    let mut attributes = String::from("<rect");
    (0..20_000).for_each(|i| write!(attributes, " a{i}=''").unwrap());
    assert!(matches!(
        refusal(&svg(&(attributes + "/>"))),
        Error::TooComplex { what: "attributes of one element", .. }
    ));
    let path = format!("<path stroke='red' d='M0 0{}'/>", "L9 9L0 1".repeat(12_000));
    assert!(matches!(refusal(&svg(&path)), Error::TooComplex { what: "lines and curves", .. }));
    let layers = "<g opacity='.5'><rect width='9' height='9'/><circle r='9'/></g>".repeat(100);
    assert!(matches!(refusal(&svg(&layers)), Error::TooComplex { what: "layers", .. }));
    let style = format!("<style>{}</style>", ".a{fill:red}".repeat(2_000));
    assert!(matches!(refusal(&svg(&style)), Error::TooComplex { what: "bytes of style sheets", .. }));
    let blur =
        "<rect width='320' height='200' class='a' style='opacity:1;x:y;-webkit-x:1;FILTER:blur(900px)'/>";
    assert!(draw(&svg(blur)).is_ok(), "a filter function is taken out");
}

#[test]
fn huge_or_missing_dimensions_are_refused() {
    for size in [
        "width='1e9' height='1'",
        "width='1' height='99999999'",
        "viewBox='0 0 1000 1'",
        "width='0' height='0'",
    ] {
        let picture =
            format!("<svg xmlns='http://www.w3.org/2000/svg' {size}><rect width='9' height='9'/></svg>");
        assert_eq!(refusal(&picture), Error::Size, "{size}");
    }
    let square =
        "<svg xmlns='http://www.w3.org/2000/svg' width='1e9' height='1e9'><rect width='9' height='9'/></svg>";
    let pixmap = resvg::tiny_skia::Pixmap::decode_png(&draw(square).unwrap().1).unwrap();
    assert_eq!((pixmap.width(), pixmap.height()), (320, 320), "a size is a proportion only");
}

#[test]
fn a_line_of_countless_dashes_is_drawn_in_time_or_refused() {
    let content =
        "<path d='M0 0 H 320' stroke='red' stroke-dasharray='0.00001 0.00001'/><rect width='1' height='1'/>"
            .repeat(50);
    let started = Instant::now();
    let _ = draw(&svg(&content));
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
}

#[test]
fn what_is_no_svg_is_refused_with_the_place() {
    assert_eq!(refusal("<html/>"), Error::NotSvg);
    assert_eq!(refusal("<svg/>"), Error::NotSvg);
    assert!(matches!(refusal("<svg"), Error::NotXml { line: 1, .. }));
    assert_eq!(sanitize(b"\xff\xfe").unwrap_err(), Error::NotUtf8);
    assert!(matches!(refusal(""), Error::NotXml { .. }));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = sanitize(&bytes);
    }

    #[test]
    fn what_was_sanitized_stays_as_it_is(
        name in "(rect|g|text|script|use|mask|x:y|style)", attribute in "[a-z:-]{1,8}", value in "[ -~]{0,20}"
    ) {
        let value = value.replace(['&', '<', '\''], "");
        if let Ok(once) = sanitize(svg(&format!("<{name} {attribute}='{value}'/>")).as_bytes()) {
            let twice = sanitize(once.as_str().as_bytes()).unwrap();
            prop_assert_eq!(twice.as_str(), once.as_str());
            let _ = render(&once, 32);
        }
    }
}
