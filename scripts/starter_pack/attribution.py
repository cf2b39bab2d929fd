"""The text of ATTRIBUTION.md: sources, licences, versions and what was changed."""

from __future__ import annotations

from starter_pack.pictures import NUM_COLOURS, Pictures
from starter_pack.sounds import Sounds

_TEMPLATE = """\
# Where the starter pack comes from

The starter pack is a collection of small pictures and sounds by others, under free licences. It was built by
`scripts/build_starter_pack.py` of the anyloom repository. None of the authors endorses anyloom.

## Pictures in the style "noto": Noto Emoji

- {num_pictures} pictures, files `*.noto.webp` and `*.noto.*.webp`.
- Work: Noto Emoji 2.048, Copyright Google LLC and the Noto Emoji authors, <https://github.com/googlefonts/noto-emoji>.
- Licence: Apache License 2.0, whose full text is in `Apache-2.0.txt` beside this file. The Noto Emoji project
  says that flag images are in the public domain or otherwise exempt from copyright.
- Taken from: `img/google/64` of the npm package `emoji-datasource-google` 16.0.0,
  <https://www.npmjs.com/package/emoji-datasource-google/v/16.0.0>.

## Pictures in the style "twemoji": Twemoji

- {num_pictures} pictures, files `*.twemoji.webp` and `*.twemoji.*.webp`.
- Work: Twemoji 16.0.1, Copyright Twitter, Inc and other contributors, <https://github.com/jdecked/twemoji>
  (a continuation of <https://github.com/twitter/twemoji>).
- Licence: Creative Commons Attribution 4.0 International (CC-BY 4.0),
  <https://creativecommons.org/licenses/by/4.0/>.
- Taken from: `img/twitter/64` of the npm package `emoji-datasource-twitter` 16.0.0,
  <https://www.npmjs.com/package/emoji-datasource-twitter/v/16.0.0>.

## What was changed in the pictures

Both sets: the 64 x 64 pictures were reduced to at most {num_colours} colours each (with transparency) and saved as
lossless WebP; names, subjects and splits were added. Software that shows them puts them on white and may
mirror, turn or recolour them. Known mistake of the source: the Noto picture of the flag of Sark shows another flag.

## Names, categories and keywords: emoji-data

- Work: emoji-data 16.0.0 (`emoji.json`), <https://github.com/iamcal/emoji-data>. Changed: names in plain lower-case
  words, many reworded; gender, tone, stem, subject, sequence and split added.
- Licence: MIT.

> The MIT License (MIT)
>
> Copyright (c) 2013 Cal Henderson
>
> Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
> documentation files (the "Software"), to deal in the Software without restriction, including without limitation
> the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and
> to permit persons to whom the Software is furnished to do so, subject to the following conditions:
>
> The above copyright notice and this permission notice shall be included in all copies or substantial portions
> of the Software.
>
> THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
> THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
> AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
> CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER
> DEALINGS IN THE SOFTWARE.

## Sounds

- {num_sounds} sounds, files `*.flac`, from the Debian package `sonic-pi-samples` 3.2.2~repack-8
  (<https://packages.debian.org/source/sonic-pi>), which collected them from <https://freesound.org>.
- Licence: CC0 1.0, <https://creativecommons.org/publicdomain/zero/1.0/>. Only files whose own paragraph in the
  package's copyright file says CC0 were taken.
- Changed: mixed to mono, resampled to 16 kHz, started at the onset, cut at 2.56 seconds with a short fade, peak
  normalised, saved as 16 bit FLAC. Files shorter than 0.05 seconds were left out.

| sound | author | source |
|---|---|---|
{sounds}
"""


def attribution(pictures: Pictures, sounds: Sounds) -> str:
    """Return ATTRIBUTION.md for what is in the pack."""
    num_drawings = sum(len(drawings) for drawings in pictures.drawings.values())
    rows = [f"| {key} | {sounds.credits[key].author} | <{sounds.credits[key].source}> |" for key in sounds.waves]
    return _TEMPLATE.format(
        num_pictures=f"{num_drawings // 2:,}",
        num_colours=NUM_COLOURS,
        num_sounds=len(sounds.waves),
        sounds="\n".join(rows),
    )
