"""Pictures of the demo shop's products: see `tpad.world.drawing.product.draw`."""
