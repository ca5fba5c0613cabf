from .bundle import Bundle as Bundle, Encoder as Encoder
