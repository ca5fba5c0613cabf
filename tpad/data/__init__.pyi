from .columns import Columns as Columns
from .dataset import Dataset as Dataset, check_images as check_images
from .images import load_image as load_image
from .report import LoadReport as LoadReport
from .sessions import Cases as Cases, Sessions as Sessions
from .splits import assert_no_leak as assert_no_leak
