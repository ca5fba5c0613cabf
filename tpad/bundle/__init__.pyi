from .bundle import Bundle as Bundle, Encoder as Encoder
from .writing import export_bundle as export_bundle, write_bundle as write_bundle
