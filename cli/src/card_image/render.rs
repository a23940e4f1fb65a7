//! From a sanitized SVG to a PNG.

use super::{Error, MAX_ASPECT, MAX_ELEMENTS, MAX_LAYERS, MAX_PIXELS, MAX_SEGMENTS, Sanitized};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Group, ImageHrefResolver, Node, Options, Tree};

/// Draws `image`, `width` pixels wide and as high as it is then, and answers with a PNG file's bytes.
///
/// # Errors
/// [`Error::Size`], [`Error::TooComplex`], [`Error::NotDrawable`].
pub fn render(image: &Sanitized, width: u32) -> Result<Vec<u8>, Error> {
    // 1. Nothing comes from outside: no resources directory, no image of any kind.
    let nothing =
        ImageHrefResolver { resolve_data: Box::new(|_, _, _| None), resolve_string: Box::new(|_, _| None) };
    let options = Options { resources_dir: None, image_href_resolver: nothing, ..Options::default() };
    let tree = Tree::from_str(image.as_str(), &options).map_err(|error| match error {
        resvg::usvg::Error::InvalidSize => Error::Size,
        _ => Error::NotDrawable,
    })?;

    // 2. The real work, now that styles and references are resolved.
    let mut cost = Cost { elements: MAX_ELEMENTS, segments: MAX_SEGMENTS, layers: MAX_LAYERS };
    cost.group(tree.root())?;

    // 3. Pixels.
    let size = tree.size();
    let aspect = size.width() / size.height();
    if !(1.0 / MAX_ASPECT..=MAX_ASPECT).contains(&aspect) {
        return Err(Error::Size);
    }
    let scale = (width.clamp(1, MAX_PIXELS) as f32 / size.width()).min(MAX_PIXELS as f32 / size.height());
    let (pixels_wide, pixels_high) = (pixels(size.width() * scale), pixels(size.height() * scale));
    let mut pixmap = Pixmap::new(pixels_wide, pixels_high).ok_or(Error::Size)?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|_| Error::NotDrawable)
}

/// A length that is within 1..=[`MAX_PIXELS`] by now, rounded.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped to a range that fits
fn pixels(length: f32) -> u32 {
    length.round().clamp(1.0, MAX_PIXELS as f32) as u32
}

/// What is left of the limits while a tree is walked; masks and clip paths count each time they are used.
struct Cost {
    elements: usize,
    segments: usize,
    layers: usize,
}

impl Cost {
    fn group(&mut self, group: &Group) -> Result<(), Error> {
        take(&mut self.elements, 1, "elements", MAX_ELEMENTS)?;
        if group.should_isolate() {
            take(&mut self.layers, 1, "layers", MAX_LAYERS)?;
        }
        if !group.filters().is_empty() {
            return Err(Error::TooComplex { what: "filters", limit: 0 });
        }
        let mut clip = group.clip_path();
        while let Some(path) = clip {
            take(&mut self.layers, 1, "layers", MAX_LAYERS)?;
            self.group(path.root())?;
            clip = path.clip_path();
        }
        let mut mask = group.mask();
        while let Some(one) = mask {
            take(&mut self.layers, 1, "layers", MAX_LAYERS)?;
            self.group(one.root())?;
            mask = one.mask();
        }
        for child in group.children() {
            match child {
                Node::Group(group) => self.group(group)?,
                Node::Path(path) => {
                    take(&mut self.elements, 1, "elements", MAX_ELEMENTS)?;
                    take(&mut self.segments, path.data().len(), "lines and curves", MAX_SEGMENTS)?;
                }
                // Neither is in a sanitized document.
                Node::Image(_) | Node::Text(_) => return Err(Error::NotDrawable),
            }
        }
        Ok(())
    }
}

fn take(left: &mut usize, count: usize, what: &'static str, limit: usize) -> Result<(), Error> {
    *left = left.checked_sub(count).ok_or(Error::TooComplex { what, limit })?;
    Ok(())
}
