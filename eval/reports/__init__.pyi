from .charts import interval_figure as interval_figure, page as page, slice_figure as slice_figure
from .report import markdown as markdown
from .tables import latex as latex, results_frame as results_frame, wide as wide
from .writing import write_report as write_report
