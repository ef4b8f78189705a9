"""Names of the number formats in which a model embeds; :mod:`modeling_unipt.precision` says what they mean.

torch is not imported here, so that --help answers at once.
"""

from typing import Literal, get_args

DtypeName = Literal["auto", "float32", "bfloat16", "float16"]
DTYPES: tuple[str, ...] = get_args(DtypeName)
DTYPE_HELP = (
    "number format of the model's matrix products: auto is bfloat16 on a GPU that has it, and float32 elsewhere; what "
    "comes out is float32 in any case"
)
