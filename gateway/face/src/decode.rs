//! Pictures from outside: camera frames (JPEG) and the chip photo (JPEG 2000).
//!
//! Promise: sizes are read from the header and checked before memory is taken for the pixels; damaged, cut-off or
//! outsized bytes are an error, never a panic. Only whole pictures are accepted: both decoders run in their strict
//! mode, since a face half made of filler could still be matched.

use std::panic::{UnwindSafe, catch_unwind};

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};
use zeroize::Zeroizing;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use crate::image::Rgb;

/// How large a picture may be; inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Encoded size in bytes.
    pub bytes_max: usize,
    /// Width × height in pixels.
    pub pixels_max: usize,
    /// Longer side in pixels.
    pub side_max: usize,
}

impl Limits {
    /// Camera frames: 512 KiB and 2 megapixels; a 640×480 frame has about 40 KiB.
    pub const FRAME: Self = Self { bytes_max: 512 * 1024, pixels_max: 2_100_000, side_max: 4_096 };

    /// Chip photos: 64 KiB and 1 megapixel; the card's own has 240×320 pixels and about 3 kB.
    pub const CHIP_PHOTO: Self = Self { bytes_max: 64 * 1024, pixels_max: 1_050_000, side_max: 2_048 };

    fn check_bytes(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        let (found, limit) = (bytes.len() as u64, self.bytes_max as u64);
        if found > limit { Err(DecodeError::TooLarge { unit: "bytes", found, limit }) } else { Ok(()) }
    }

    fn check_size(&self, width: u64, height: u64) -> Result<(), DecodeError> {
        let side = width.max(height);
        if side > self.side_max as u64 {
            return Err(DecodeError::TooLarge { unit: "pixels a side", found: side, limit: self.side_max as u64 });
        }
        let area = width * height;
        if area > self.pixels_max as u64 {
            return Err(DecodeError::TooLarge { unit: "pixels", found: area, limit: self.pixels_max as u64 });
        }
        Ok(())
    }
}

/// Why bytes are not a usable picture. Carries sizes only, never content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Over a limit: ask the sender for a smaller picture; sending it again does not help.
    #[error("picture too large: {found} {unit}, limit {limit}")]
    TooLarge {
        /// What was counted.
        unit: &'static str,
        /// How much the picture has, or says it has.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// Not this format, cut off or damaged: drop the picture, take the next.
    #[error("not a whole {0} picture")]
    Corrupt(&'static str),
    /// A valid file of a kind that neither cameras nor cards produce: fix the sender.
    #[error("{0}")]
    Unsupported(&'static str),
}

const JPEG: &str = "JPEG";
const JPEG_2000: &str = "JPEG 2000";

/// Scans of a progressive JPEG; encoders write about ten, and each costs a pass over the whole picture.
const JPEG_SCANS_MAX: usize = 16;

/// Tiles of a JPEG 2000 picture; a photo is one, and each costs bookkeeping that its bytes do not pay for.
const JPEG_2000_TILES_MAX: u64 = 64;

/// Decodes a JPEG to RGB; grey becomes three equal channels.
///
/// # Errors
/// Every [`DecodeError`]; sizes are checked against `limits` before pixels are allocated.
pub fn jpeg(bytes: &[u8], limits: &Limits) -> Result<Rgb, DecodeError> {
    limits.check_bytes(bytes)?;
    contained(JPEG, || {
        let options = DecoderOptions::new_fast()
            .set_strict_mode(true)
            .set_max_width(usize::from(u16::MAX))
            .set_max_height(usize::from(u16::MAX))
            .jpeg_set_max_scans(JPEG_SCANS_MAX)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(|_| DecodeError::Corrupt(JPEG))?;
        let info = decoder.info().ok_or(DecodeError::Corrupt(JPEG))?;
        let (width, height) = (usize::from(info.width), usize::from(info.height));
        limits.check_size(width as u64, height as u64)?;
        let mut pixels = Zeroizing::new(vec![0; width * height * 3]);
        decoder.decode_into(&mut pixels).map_err(|_| DecodeError::Corrupt(JPEG))?;
        Rgb::new(width, height, std::mem::take(&mut *pixels)).ok_or(DecodeError::Corrupt(JPEG))
    })
}

/// Decodes a JPEG 2000 picture (JP2 file or bare codestream, one grey or three RGB components) to RGB.
///
/// Of a JP2 file only the codestream is read: palettes, colour profiles and further boxes are not needed for a
/// photo, so they are not parsed.
///
/// # Errors
/// Every [`DecodeError`]; sizes, tiles and components are checked against `limits` before pixels are allocated.
pub fn jpeg2000(bytes: &[u8], limits: &Limits) -> Result<Rgb, DecodeError> {
    limits.check_bytes(bytes)?;
    let codestream = codestream(bytes).ok_or(DecodeError::Corrupt(JPEG_2000))?;
    check_siz(codestream, limits)?;
    contained(JPEG_2000, || {
        let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
        let image = Image::new(codestream, &settings).map_err(|_| DecodeError::Corrupt(JPEG_2000))?;
        let (width, height) = (image.width() as usize, image.height() as usize);
        let mut context = DecoderContext::default();
        let decoded = image.decode(&mut context).map_err(|_| DecodeError::Corrupt(JPEG_2000))?;
        let samples = Zeroizing::new(decoded.data_u8());
        let rgb = match decoded.components().len() {
            1 => samples.iter().flat_map(|&grey| [grey; 3]).collect(),
            3 => samples.to_vec(),
            _ => return Err(DecodeError::Unsupported("a chip photo has one or three components")),
        };
        Rgb::new(width, height, rgb).ok_or(DecodeError::Corrupt(JPEG_2000))
    })
}

/// Runs a decoder so that a bug in it costs this picture and not the thread: both libraries index slices whose
/// bounds follow from the file, and a panic there would end an inference thread for every reader of the site.
fn contained(
    format: &'static str,
    decode: impl FnOnce() -> Result<Rgb, DecodeError> + UnwindSafe,
) -> Result<Rgb, DecodeError> {
    catch_unwind(decode).unwrap_or(Err(DecodeError::Corrupt(format)))
}

/// The contiguous codestream of a JP2 file (ISO/IEC 15444-1 annex I.4), or the bytes themselves if they are one.
fn codestream(bytes: &[u8]) -> Option<&[u8]> {
    const START: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];
    const HEADER_BYTES: usize = 8;

    if bytes.starts_with(&START) {
        return Some(bytes);
    }
    let mut rest = bytes;
    while rest.len() >= HEADER_BYTES {
        let (length, kind) = (be_u32(rest, 0)? as usize, rest.get(4..8)?);
        // Length 0 means "to the end of the file", 1 an eight-byte length that no photo of 64 KiB needs.
        let end = if length == 0 { rest.len() } else { length };
        let body = rest.get(HEADER_BYTES..end)?;
        if kind == b"jp2c" {
            return body.starts_with(&START).then_some(body);
        }
        rest = &rest[end..];
    }
    None
}

/// Checks what the SIZ marker segment (annex A.5.1) announces, since the decoder allocates by it.
fn check_siz(codestream: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    let word = |at| be_u32(codestream, at).map(u64::from).ok_or(DecodeError::Corrupt(JPEG_2000));
    let (right, bottom) = (word(8)?, word(12)?);
    let (left, top) = (word(16)?, word(20)?);
    let (tile_width, tile_height) = (word(24)?, word(28)?);
    let components = codestream.get(40..42).ok_or(DecodeError::Corrupt(JPEG_2000))?;
    if left >= right || top >= bottom || tile_width == 0 || tile_height == 0 {
        return Err(DecodeError::Corrupt(JPEG_2000));
    }
    limits.check_size(right - left, bottom - top)?;
    let tiles = right.div_ceil(tile_width) * bottom.div_ceil(tile_height);
    if tiles > JPEG_2000_TILES_MAX {
        return Err(DecodeError::TooLarge { unit: "tiles", found: tiles, limit: JPEG_2000_TILES_MAX });
    }
    if components != [0, 1] && components != [0, 3] {
        return Err(DecodeError::Unsupported("a chip photo has one or three components"));
    }
    Ok(())
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn siz(width: u32, height: u32, tile: u32, components: u16) -> Vec<u8> {
        let mut bytes = vec![0xff, 0x4f, 0xff, 0x51, 0, 41, 0, 0];
        for word in [width, height, 0, 0, tile, tile, 0, 0] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(components.to_be_bytes());
        bytes
    }

    fn jp2(boxes: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, body) in boxes {
            bytes.extend((body.len() as u32 + 8).to_be_bytes());
            bytes.extend(*kind);
            bytes.extend(*body);
        }
        bytes
    }

    #[test]
    fn the_codestream_is_found_behind_other_boxes() {
        let stream = siz(8, 8, 8, 1);
        let decoy = siz(9, 9, 9, 9);
        assert_eq!(codestream(&jp2(&[(b"jP  ", &decoy), (b"jp2c", &stream)])), Some(stream.as_slice()));
        assert_eq!(codestream(&stream), Some(stream.as_slice()));
        assert_eq!(codestream(&jp2(&[(b"jP  ", &stream)])), None);
        assert_eq!(codestream(&[0, 0, 0, 3, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn an_announced_size_over_the_limit_is_refused_before_decoding() {
        let limits = Limits::CHIP_PHOTO;
        let too_large = |bytes: &[u8]| matches!(jpeg2000(bytes, &limits), Err(DecodeError::TooLarge { .. }));
        assert!(too_large(&siz(60_000, 60_000, 60_000, 1)));
        assert!(too_large(&siz(2_000, 2_000, 2_000, 1)));
        assert!(too_large(&siz(1_000, 1_000, 1, 1)));
        assert!(too_large(&vec![0; limits.bytes_max + 1]));
        assert!(matches!(jpeg2000(&siz(100, 100, 100, 16_000), &limits), Err(DecodeError::Unsupported(_))));
    }

    #[test]
    fn a_jpeg_header_over_the_limit_is_refused_before_decoding() {
        // SOI, then a baseline frame header announcing 65,500 × 65,500 grey pixels, then a scan header.
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0xff, 0xdc, 0xff, 0xdc, 1, 1, 0x11, 0];
        bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        assert!(matches!(jpeg(&bytes, &Limits::FRAME), Err(DecodeError::TooLarge { unit: "pixels a side", .. })));
        let long = vec![0; Limits::FRAME.bytes_max + 1];
        assert!(matches!(jpeg(&long, &Limits::FRAME), Err(DecodeError::TooLarge { unit: "bytes", .. })));
    }

    #[test]
    fn bytes_of_no_picture_are_corrupt() {
        for bytes in [&b""[..], b"\xff\xd8", b"<html>", &[0; 64]] {
            assert_eq!(jpeg(bytes, &Limits::FRAME).unwrap_err(), DecodeError::Corrupt(JPEG));
            assert_eq!(jpeg2000(bytes, &Limits::CHIP_PHOTO).unwrap_err(), DecodeError::Corrupt(JPEG_2000));
        }
    }

    #[test]
    fn a_panicking_decoder_costs_only_its_picture() {
        assert_eq!(contained(JPEG, || panic!("a decoder's bug")).unwrap_err(), DecodeError::Corrupt(JPEG));
    }
}
