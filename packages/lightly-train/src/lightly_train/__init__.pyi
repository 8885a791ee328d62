from . import errors as errors
from .calibration import CalibrationResult as CalibrationResult
from .evaluation import Evaluation as Evaluation
from .evaluation import evaluate as evaluate
from .loading import load_model as load_model
from .model import ImageClassification as ImageClassification
from .model import Prediction as Prediction
from .models import list_models as list_models
from .results import OnnxExport as OnnxExport
from .results import TensorRTExport as TensorRTExport
from .results import TrainResult as TrainResult
from .train import train_image_classification as train_image_classification

__version__: str
