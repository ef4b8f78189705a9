"""UniPT: search photographs of people by description.

Importing this package is cheap: names are loaded on first use, and the classes enter transformers' Auto classes as soon
as transformers itself is imported. So ``AutoModel.from_pretrained`` of a UniPT folder finds them.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_MODULE_OF = {
    "PersonGallery": "gallery",
    "UniPTConfig": "configuration_unipt",
    "UniPTForPreTraining": "modeling_unipt",
    "UniPTImageProcessor": "image_processing_unipt",
    "UniPTModel": "modeling_unipt",
    "UniPTProcessor": "processing_unipt",
    "contrastive_loss": "modeling_unipt",
    "load_unipt": "loading",
    "masked_language_modeling_loss": "modeling_unipt",
}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _register_auto_classes() -> None:
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForPreTraining,
        AutoModelForZeroShotImageClassification,
        AutoProcessor,
    )

    # transformers 5.17 hides this name at its top level where torchvision is missing.
    from transformers.models.auto.image_processing_auto import AutoImageProcessor
    from transformers.models.auto.modeling_auto import MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES

    from .image_processing_unipt import UniPTImageProcessor
    from .modeling_unipt import UniPTConfig, UniPTForPreTraining, UniPTModel
    from .processing_unipt import UniPTProcessor

    AutoConfig.register("unipt", UniPTConfig, exist_ok=True)
    AutoModel.register(UniPTConfig, UniPTModel, exist_ok=True)
    AutoModelForPreTraining.register(UniPTConfig, UniPTForPreTraining, exist_ok=True)
    AutoModelForZeroShotImageClassification.register(UniPTConfig, UniPTModel, exist_ok=True)
    # The pipeline looks the class up by name, here and not in the Auto class, and would call it unsupported.
    MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES["unipt"] = UniPTModel.__name__
    AutoImageProcessor.register(UniPTConfig, image_processor_classes={"pil": UniPTImageProcessor}, exist_ok=True)
    AutoProcessor.register(UniPTConfig, UniPTProcessor, exist_ok=True)


class _RegisterWhenTransformersArrives:
    """An import hook that registers the classes once transformers has been imported.

    Why a hook: to register means to import transformers and torch. Doing that here would cost every small command four
    seconds, and transformers has no entry point by which an installed package could announce its classes. So somebody's
    import of transformers, after that of this package, is the one moment to notice.

    The hook finds a module as Python would and adds a step after the module's code has run. It waits for the end of the
    outermost such import: while a module of this package is importing transformers, the module itself is not ready yet.
    """

    names = {"transformers", *(f"{__name__}.{module}" for module in _MODULE_OF.values())}
    depth = 0

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in self.names else None
        if spec is None:
            # Python goes on with its other finders.
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            self.depth += 1
            try:
                execute(module)
            finally:
                self.depth -= 1
            if self.depth == 0 and "transformers" in sys.modules and self in sys.meta_path:
                # First, because to register imports modules that this hook would find.
                sys.meta_path.remove(self)
                _register_auto_classes()

        # Only this one loader object is changed. A loader of our own around it would lose what else a loader offers,
        # such as the source text that tracebacks and torch.compile read.
        spec.loader.exec_module = execute_and_register
        return spec


if "transformers" in sys.modules:
    _register_auto_classes()
else:
    sys.meta_path.insert(0, _RegisterWhenTransformersArrives())
