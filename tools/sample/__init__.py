"""The embedded sample: drawn scenes of people with COCO, VOC and LabelMe labels.

`python -m tools.sample --out datasets/sample` redraws the committed folder bit for bit with the pinned
versions of numpy, OpenCV and Pillow. Every scene is a function of one seed and its own number, so any
scene can be redrawn alone and the number of worker processes does not matter.

    geometry noise        outlines and random fields, no drawing
    materials canvas      cloth, skin and fur; painting an outline and keeping who is visible where
    poses bodies heads wardrobe figures    a person as a list of parts in units of one head height
    objects animals backdrops_indoor backdrops_outdoor    everything else in a scene
    scenes effects        one scene from its recipe; what the camera does to it
    plan                  which scenes there are, under which names
    labels errors         outlines, run lengths, planted label errors
    coco voc labelme      the folders on disk

Bit for bit: random draws are integers or `Generator.random`, pixels are integer arithmetic, and outlines
are rounded to 1/16 px before they are filled, so that a last-digit difference in a sine cannot show.
"""

SEED = 20240607
"""Seed of the committed sample."""

SUPERSAMPLE = 2
"""Scenes are drawn at this many canvas pixels per image pixel."""
